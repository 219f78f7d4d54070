//! Where NATS is, and the credentials that its address may carry.

use async_nats::{ConnectOptions, ServerAddr};
use percent_encoding::percent_decode_str;

use super::connection::NatsError;
use crate::config::NatsConfig;
use crate::secret::Secret;

/// Servers of one cluster, and how to introduce oneself to any of them.
pub struct Address {
    /// The servers, without credentials: the client ignores them there, and may print an address.
    pub servers: Vec<ServerAddr>,
    credentials: Option<Credentials>,
}

enum Credentials {
    User(String, Secret),
    Token(Secret),
}

impl Address {
    /// Reads `nats://user:password@host:port` or `nats://token@host:port`, several of them comma separated. No error
    /// repeats any of it, and neither would the parser's own be safe to show.
    pub fn parse(url: &str) -> Result<Self, NatsError> {
        let mut address = Self { servers: Vec::new(), credentials: None };
        let mut carried = None;
        for part in url.split(',') {
            let server: ServerAddr =
                part.trim().parse().map_err(|_| unusable("the address cannot be read"))?;
            let mut bare = server.into_inner();
            let pair = (bare.username().to_owned(), bare.password().map(str::to_owned));
            if !bare.username().is_empty() || bare.password().is_some() {
                if carried.as_ref().is_some_and(|carried| *carried != pair) {
                    return Err(unusable("its addresses carry different credentials"));
                }
                address.credentials = Some(Credentials::read(&pair.0, pair.1.as_deref())?);
                carried = Some(pair);
            }
            let cleared = bare.set_username("").and_then(|()| bare.set_password(None));
            cleared.map_err(|()| unusable("the address cannot be read"))?;
            let bare = ServerAddr::from_url(bare).map_err(|_| unusable("the address cannot be read"))?;
            address.servers.push(bare);
        }
        Ok(address)
    }

    /// Adds the credentials: those of variables of their own count before those of the address.
    pub fn introduce(&self, config: &NatsConfig, options: ConnectOptions) -> ConnectOptions {
        if let Some(user) = &config.nats_user {
            let password = config.nats_password.as_ref().map_or("", Secret::expose);
            return options.user_and_password(user.clone(), password.to_owned());
        }
        match &self.credentials {
            Some(Credentials::User(user, password)) => {
                options.user_and_password(user.clone(), password.expose().to_owned())
            }
            Some(Credentials::Token(token)) => options.token(token.expose().to_owned()),
            None => options,
        }
    }
}

impl Credentials {
    fn read(user: &str, password: Option<&str>) -> Result<Self, NatsError> {
        match (decoded(user)?, password) {
            (user, _) if user.is_empty() => Err(unusable("its address carries a password without a user")),
            (user, Some(password)) => Ok(Self::User(user, Secret::from(decoded(password)?))),
            (token, None) => Ok(Self::Token(Secret::from(token))),
        }
    }
}

fn decoded(text: &str) -> Result<String, NatsError> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(String::from).map_err(|_| unusable("the credentials in its address are not UTF-8"))
}

fn unusable(why: &str) -> NatsError {
    NatsError::Unusable(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(url: &str) -> Option<(String, String)> {
        let address = Address::parse(url).unwrap();
        assert!(address.servers.iter().all(|server| server.username().is_none()));
        address.credentials.map(|credentials| match credentials {
            Credentials::User(user, password) => (user, password.expose().to_owned()),
            Credentials::Token(token) => ("token".to_owned(), token.expose().to_owned()),
        })
    }

    #[test]
    fn credentials_of_the_address_are_read_and_taken_out_of_it() {
        let pair = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(credentials("nats://a:1, nats://b:2"), None);
        assert_eq!(credentials("nats://ann:hunter2@a:1"), pair("ann", "hunter2"));
        assert_eq!(credentials("nats://an%40n:p%3A%2Fx@a"), pair("an@n", "p:/x"));
        assert_eq!(credentials("nats://s3cret@a:1"), pair("token", "s3cret"));
        assert_eq!(credentials("ann:hunter2@a:1,nats://ann:hunter2@b:1,c:1"), pair("ann", "hunter2"));
        assert_eq!(Address::parse("nats://a:1, nats://b:2").unwrap().servers.len(), 2);
    }

    #[test]
    fn a_bad_address_is_refused_without_its_password() {
        for url in [
            "nats://ann:hunter2@a:b:c",
            "http://ann:hunter2@a",
            "nats://ann:hunter2@a,nats://bob:hunter2@b",
            "nats://:hunter2@a",
            "nats://ann:hunter2%ff@a",
        ] {
            let error = Address::parse(url).err().unwrap();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        }
    }
}
