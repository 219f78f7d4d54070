//! Passwords of the roles and the key of the tokens, kept beside the data they open.

use std::fmt::Write as _;
use std::fs;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use xtask::failure::{Failure, Result};

use crate::env_file;

/// What must not be known to others.
pub struct Secrets {
    /// Password of the superuser.
    pub postgres: String,
    /// Password of the ERP.
    pub erp_app: String,
    /// Password of the gateway.
    pub quote_gateway: String,
    /// Key of the tokens.
    pub jwt: String,
}

impl Secrets {
    /// Reads the secrets of existing data, and makes up what is not there. A key from the environment wins.
    pub fn keep(file: &Path, jwt: Option<String>) -> Result<Self> {
        let known = fs::read_to_string(file).unwrap_or_default();
        let secret = |name: &str| env_file::read(&known, name).map_or_else(random, Ok);
        let kept_jwt = secret("JWT")?;
        let secrets = Self {
            postgres: secret("POSTGRES")?,
            erp_app: secret("ERP_APP")?,
            quote_gateway: secret("QUOTE_GATEWAY")?,
            jwt: jwt.unwrap_or_else(|| kept_jwt.clone()),
        };
        let lines = [
            ("POSTGRES", secrets.postgres.clone()),
            ("ERP_APP", secrets.erp_app.clone()),
            ("QUOTE_GATEWAY", secrets.quote_gateway.clone()),
            ("JWT", kept_jwt),
        ];
        env_file::write(file, &lines)?;
        Ok(secrets)
    }
}

/// 256 random bits as hexadecimal digits: safe in a URL, a shell word and a SQL literal.
fn random() -> Result<String> {
    let mut bytes = [0; 32];
    File::open("/dev/urandom")
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(Failure::io("read /dev/urandom"))?;
    Ok(bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    }))
}
