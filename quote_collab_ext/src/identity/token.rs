//! Tokens: who somebody is and for how long. The claims mean what they mean to the gateway: `sub` (user id), `username`,
//! `tenantId`, `email` and `exp`; the first and third are UUIDs, and a token without `exp` is refused.

pub mod keys;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Validation, decode, decode_header};
use quote_collab_core::token::{Claims, LONGEST, Untimely};
use serde_json::Value;
use uuid::Uuid;

use keys::Keys;

/// Who is asking, as a verified token says.
pub struct Identity {
    /// The user.
    pub user: Uuid,
    /// The user's tenant.
    pub tenant: Uuid,
    /// When the token ends, in seconds since 1970.
    pub expires_at: u64,
}

/// Why a token is refused: as much as its sender may know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    Absent,
    TooLarge,
    Form,
    Key,
    Signature,
    Claims,
    Expired,
    NotYet,
    Audience,
    Issuer,
}

impl Refusal {
    /// A sentence about the class of the reason. Never repeats the token.
    pub fn detail(self) -> &'static str {
        match self {
            Self::Absent => "There is none.",
            Self::TooLarge => "It is larger than 8 kB.",
            Self::Form => "It does not have the form of a signed token.",
            Self::Key => "No configured key fits its algorithm and key id.",
            Self::Signature => "Its signature does not verify.",
            Self::Claims => "Its claims are missing or malformed.",
            Self::Expired => "It has expired.",
            Self::NotYet => "It is not valid yet.",
            Self::Audience => "It is meant for another audience.",
            Self::Issuer => "It comes from another issuer.",
        }
    }
}

/// Who the token says is asking, at a time in seconds since 1970. The signature is looked at before any claim.
pub fn verify(token: &str, keys: &Keys, now: u64) -> Result<Identity, Refusal> {
    if token.is_empty() {
        return Err(Refusal::Absent);
    } else if token.len() > LONGEST {
        return Err(Refusal::TooLarge);
    }
    let claims = signed_claims(token, keys)?;
    claims.hold_at(now).map_err(|untimely| match untimely {
        Untimely::Expired => Refusal::Expired,
        Untimely::NotYet => Refusal::NotYet,
    })?;
    if !names(claims.aud.as_ref(), keys.audience.as_deref()) {
        return Err(Refusal::Audience);
    } else if !names(claims.iss.as_ref(), keys.issuer.as_deref()) {
        return Err(Refusal::Issuer);
    }
    Ok(Identity { user: claims.sub, tenant: claims.tenant_id, expires_at: claims.exp.0 })
}

/// The key decides the algorithm, never the token alone. The times are looked at by PostgreSQL's clock afterwards.
fn signed_claims(token: &str, keys: &Keys) -> Result<Claims, Refusal> {
    let header = decode_header(token).map_err(|_| Refusal::Form)?;
    // Extensions that must be understood, and we understand none.
    if header.crit.is_some() || header.extras.inner().contains_key("b64") {
        return Err(Refusal::Form);
    }
    let key = keys.find(header.alg, header.kid.as_deref()).ok_or(Refusal::Key)?;
    let mut validation = Validation::new(header.alg);
    validation.required_spec_claims.clear();
    (validation.validate_exp, validation.validate_nbf, validation.validate_aud) = (false, false, false);
    let verified = decode(token, &key, &validation).map_err(|error| match error.kind() {
        ErrorKind::InvalidSignature => Refusal::Signature,
        ErrorKind::Base64(_) | ErrorKind::InvalidToken => Refusal::Form,
        ErrorKind::Json(_) | ErrorKind::Utf8(_) => Refusal::Claims,
        _ => Refusal::Key,
    })?;
    Ok(verified.claims)
}

/// Whether a claim, one text or a list of them, names what is wanted; where nothing is, whatever it says.
fn names(claim: Option<&Value>, wanted: Option<&str>) -> bool {
    let Some(wanted) = wanted else { return true };
    match claim {
        Some(Value::String(one)) => one == wanted,
        Some(Value::Array(many)) => many.iter().any(|one| one == wanted),
        _ => false,
    }
}
