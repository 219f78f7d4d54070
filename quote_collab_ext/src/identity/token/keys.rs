//! The keys that tokens are verified with, and whom they must be meant for: as the server is configured.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::{CString, c_char, c_void};
use std::rc::Rc;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use pgrx::GucSetting;
use quote_collab_core::token::SHORTEST_SECRET;

use crate::guc::arrival;
use crate::guc::secret::Secret;
use crate::worker;

/// In bytes: 2048 bits.
const SHORTEST_RSA_MODULUS: usize = 256;

static SECRET: Secret = Secret::new();
static PUBLIC: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static AUDIENCE: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);
static ISSUER: GucSetting<Option<CString>> = GucSetting::<Option<CString>>::new(None);

/// Defines the settings about tokens.
pub fn define() {
    SECRET.define(
        c"quote_collab.jwt_secret",
        [
            c"Key of tokens signed with HS256.",
            c"At least 32 bytes. Used only where the library is preloaded: elsewhere a session could read it before the library is loaded. Empty for none.",
        ],
        Some(keep_secret),
    );
    arrival::define_text(
        c"quote_collab.jwt_keys",
        [
            c"Public keys of tokens signed with RS256, ES256 or EdDSA.",
            c"A JSON Web Key Set. The key is chosen by the token's kid and decides the algorithm. Empty for none.",
        ],
        &PUBLIC,
    );
    arrival::define_text(
        c"quote_collab.jwt_audience",
        [c"Audience that tokens must name.", c"Empty for any."],
        &AUDIENCE,
    );
    arrival::define_text(
        c"quote_collab.jwt_issuer",
        [c"Issuer that tokens must name.", c"Empty for any."],
        &ISSUER,
    );
}

#[expect(unsafe_code, reason = "PostgreSQL's C interface")]
unsafe extern "C-unwind" fn keep_secret(_shown: *const c_char, extra: *mut c_void) {
    SECRET.keep(extra);
}

/// What tokens are verified with.
pub struct Keys {
    secret: Option<Vec<u8>>,
    public: Rc<KeySet>,
    /// Whom tokens must be meant for.
    pub audience: Option<String>,
    /// Whom tokens must come from.
    pub issuer: Option<String>,
}

impl Keys {
    /// As configured now.
    pub fn configured() -> Self {
        let text = |setting: &GucSetting<Option<CString>>| {
            given(setting).map(|text| text.to_string_lossy().into_owned())
        };
        Self {
            secret: SECRET.get().filter(|_| worker::is_preloaded()).map(CString::into_bytes),
            public: KeySet::configured(),
            audience: text(&AUDIENCE),
            issuer: text(&ISSUER),
        }
    }

    /// The key for tokens of this algorithm and key id. A public key is never taken for a secret: HS256 has one of its
    /// own, and each public key serves a single algorithm.
    pub fn find(&self, algorithm: Algorithm, id: Option<&str>) -> Option<Cow<'_, DecodingKey>> {
        if algorithm == Algorithm::HS256 {
            return self.secret.as_deref().map(|secret| Cow::Owned(DecodingKey::from_secret(secret)));
        }
        let (serves, key) = self.public.keys.get(id?)?;
        (*serves == algorithm).then_some(Cow::Borrowed(key))
    }

    /// Whether any token can be verified.
    pub fn is_empty(&self) -> bool {
        self.secret.is_none() && self.public.keys.is_empty()
    }

    /// Whether something is configured as public keys that is none, in part or in whole.
    pub fn is_partly_unusable(&self) -> bool {
        self.public.is_partly_unusable
    }
}

/// Whether there is a secret that is too short to be one.
pub fn is_secret_short() -> bool {
    SECRET.get().is_some_and(|secret| secret.as_bytes().len() < SHORTEST_SECRET)
}

/// Whether there is a secret.
pub fn has_secret() -> bool {
    SECRET.get().is_some()
}

fn given(setting: &GucSetting<Option<CString>>) -> Option<CString> {
    setting.get().filter(|text| !text.is_empty())
}

/// Public keys by key id, each with the one algorithm that it serves.
struct KeySet {
    keys: HashMap<String, (Algorithm, DecodingKey)>,
    is_partly_unusable: bool,
}

thread_local! {
    /// The key set and the text it was read from: read again when the text is another.
    static READ: RefCell<Option<(CString, Rc<KeySet>)>> = const { RefCell::new(None) };
}

impl KeySet {
    fn configured() -> Rc<Self> {
        let text = given(&PUBLIC).unwrap_or_default();
        READ.with_borrow_mut(|read| match read {
            Some((known, keys)) if *known == text => Rc::clone(keys),
            _ => {
                let keys = Rc::new(Self::read(text.as_bytes()));
                *read = Some((text, Rc::clone(&keys)));
                keys
            }
        })
    }

    fn read(text: &[u8]) -> Self {
        let (mut keys, mut is_partly_unusable) = (HashMap::new(), false);
        if text.is_empty() {
            return Self { keys, is_partly_unusable };
        }
        let set: JwkSet = serde_json::from_slice(text).unwrap_or_default();
        is_partly_unusable |= set.keys.is_empty();
        for jwk in &set.keys {
            let unused = jwk.common.key_id.as_ref().filter(|id| !keys.contains_key(*id));
            match unused.zip(usable(jwk)) {
                Some((id, usable)) => _ = keys.insert(id.clone(), usable),
                None => is_partly_unusable = true,
            }
        }
        Self { keys, is_partly_unusable }
    }
}

/// The key and the one algorithm it serves; none for a key that must not verify tokens.
fn usable(jwk: &Jwk) -> Option<(Algorithm, DecodingKey)> {
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => Algorithm::ES256,
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
        _ => return None,
    };
    let said = jwk.common.key_algorithm.map(Algorithm::try_from);
    let is_for_signatures = matches!(&jwk.common.public_key_use, None | Some(PublicKeyUse::Signature));
    if !is_for_signatures || said.is_some_and(|said| said != Ok(algorithm)) {
        return None;
    }
    let key = DecodingKey::from_jwk(jwk).ok()?;
    let is_long = match key.kind() {
        DecodingKeyKind::RsaModulusExponent { n, .. } => {
            n.iter().skip_while(|byte| **byte == 0).count() >= SHORTEST_RSA_MODULUS
        }
        DecodingKeyKind::SecretOrDer(_) => true,
    };
    is_long.then_some((algorithm, key))
}
