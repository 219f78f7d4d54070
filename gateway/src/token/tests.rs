use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;

const USER: &str = "0190b7a1-0000-7000-8000-000000000001";
const TENANT: &str = "0190b7a1-0000-7000-8000-00000000000a";

fn secret() -> Secret {
    Secret::from("a secret of at least thirty-two bytes".to_owned())
}

fn claims() -> Value {
    json!({"sub": USER, "username": "ann", "tenantId": TENANT, "email": "ann@example.org", "exp": expiry(Duration::from_mins(1))})
}

fn signed(algorithm: Algorithm, claims: &Value, secret: &str) -> String {
    jsonwebtoken::encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret.as_bytes()))
        .unwrap()
}

fn with(key: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[key] = value;
    claims
}

fn without(key: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(key);
    claims
}

fn verify(token: &str) -> Result<Identity, TokenError> {
    TokenVerifier::new(&secret()).verify(token)
}

#[test]
fn a_signed_token_is_verified() {
    let identity = Identity {
        user: USER.parse().unwrap(),
        username: Some("ann".to_owned()),
        tenant: TENANT.parse().unwrap(),
        email: None,
        expires_at: expiry(Duration::from_mins(1)),
    };
    let token = sign(&identity, &secret()).unwrap();
    assert_eq!(verify(&token), Ok(identity.clone()));
    let verifier = TokenVerifier::new(&secret());
    for form in [format!("Bearer {token}"), format!("bearer {token}"), format!("BEARER  {token}")] {
        assert_eq!(verifier.verify_bearer(&form), Ok(identity.clone()));
    }
    for form in
        [token.clone(), format!("Basic {token}"), "Bearer".to_owned(), "Bearer ".to_owned(), String::new()]
    {
        assert_eq!(verifier.verify_bearer(&form), Err(TokenError::Invalid), "{form}");
    }
}

#[test]
fn claims_are_checked() {
    let secret = secret();
    let invalid = [
        without("exp"),
        without("sub"),
        without("tenantId"),
        with("exp", json!("9999999999")),
        with("exp", json!(-1)),
        with("exp", json!(null)),
        with("exp", json!(1e30)),
        with("sub", json!("1")),
        with("sub", json!(null)),
        with("sub", json!([USER])),
        with("tenantId", json!("' or true --")),
        with("tenantId", json!("")),
        with("nbf", json!(expiry(Duration::from_mins(1)))),
        with("username", json!({"a": 1})),
    ];
    for claims in invalid {
        assert_eq!(
            verify(&signed(Algorithm::HS256, &claims, secret.expose())),
            Err(TokenError::Invalid),
            "{claims}"
        );
    }
}

#[test]
fn a_token_ends_at_its_second_and_may_begin_a_little_early() {
    let secret = secret();
    for gone in [0, 1, 10, 86_400] {
        let claims = with("exp", json!(now().as_secs() - gone));
        assert_eq!(
            verify(&signed(Algorithm::HS256, &claims, secret.expose())),
            Err(TokenError::Expired),
            "{gone}"
        );
    }
    for good in [
        without("username"),
        without("email"),
        with("nbf", json!(now().as_secs() + 2)),
        with("aud", json!("x")),
    ] {
        assert!(verify(&signed(Algorithm::HS256, &good, secret.expose())).is_ok(), "{good}");
    }
}

#[test]
fn a_time_may_have_a_fraction_and_counts_as_its_second() {
    let (secret, now) = (secret(), now().as_secs());
    let verified = |name: &str, text: String| {
        let claims = with(name, serde_json::from_str(&text).unwrap());
        verify(&signed(Algorithm::HS256, &claims, secret.expose()))
    };
    assert_eq!(verified("exp", format!("{}.5", now + 60)).unwrap().expires_at, now + 60);
    assert_eq!(verified("exp", format!("{}.9", now - 1)), Err(TokenError::Expired));
    assert!(verified("nbf", format!("{}.9", now - 1)).is_ok());
    assert!(verified("iat", format!("{}.9", now - 1)).is_ok());
    assert_eq!(verified("nbf", format!("{}.1", now + 60)), Err(TokenError::Invalid));
    assert!(verified("nbf", "null".to_owned()).is_ok());
    assert_eq!(verified("iat", "\"now\"".to_owned()), Err(TokenError::Invalid));
}

#[test]
fn only_our_algorithm_and_our_key_count() {
    let secret = secret();
    for algorithm in [Algorithm::HS384, Algorithm::HS512] {
        assert_eq!(verify(&signed(algorithm, &claims(), secret.expose())), Err(TokenError::Invalid));
    }
    assert_eq!(verify(&signed(Algorithm::HS256, &claims(), "another secret")), Err(TokenError::Invalid));
    assert_eq!(verify(&signed(Algorithm::HS256, &claims(), "")), Err(TokenError::Invalid));
    let good = signed(Algorithm::HS256, &claims(), secret.expose());
    let parts: Vec<&str> = good.split('.').collect();
    for header in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"None","typ":"JWT"}"#,
        r#"{"alg":"RS256"}"#,
        r#"{"alg":["HS256"]}"#,
        "{}",
    ] {
        let header = URL_SAFE_NO_PAD.encode(header);
        for signature in ["", parts[2]] {
            let forged = format!("{header}.{}.{signature}", parts[1]);
            assert_eq!(verify(&forged), Err(TokenError::Invalid), "{forged}");
        }
    }
}

#[test]
fn a_token_with_extensions_that_must_be_understood_is_refused() {
    let key = EncodingKey::from_secret(secret().expose().as_bytes());
    let verified = |header: Header| verify(&jsonwebtoken::encode(&header, &claims(), &key).unwrap());
    for crit in [vec![], vec!["exp".to_owned()], vec!["https://example.org/x".to_owned()]] {
        let header = Header { crit: Some(crit), ..Header::new(Algorithm::HS256) };
        assert_eq!(verified(header), Err(TokenError::Invalid));
    }
    for b64 in [false, true] {
        let mut header = Header::new(Algorithm::HS256);
        header.extras.insert("b64", b64);
        assert_eq!(verified(header), Err(TokenError::Invalid), "{b64}");
    }
    // What need not be understood is passed over.
    let mut header = Header { kid: Some("1".to_owned()), ..Header::new(Algorithm::HS256) };
    header.extras.insert("x", 1);
    assert!(verified(header).is_ok());
}

#[test]
fn a_changed_token_is_refused() {
    let good = signed(Algorithm::HS256, &claims(), secret().expose());
    let parts: Vec<&str> = good.split('.').collect();
    let other = URL_SAFE_NO_PAD.encode(with("tenantId", json!(USER)).to_string());
    let forged = [
        String::new(),
        ".".to_owned(),
        "..".to_owned(),
        "a.b.c".to_owned(),
        format!("{}.{other}.{}", parts[0], parts[2]),
        format!("{}.{}", parts[0], parts[1]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{good}.x"),
        format!("{good}A"),
        format!(" {good}"),
        good.replace('-', "+").replace('_', "/") + "=",
        "x".repeat(LONGEST + 1),
    ];
    for token in forged {
        assert_eq!(verify(&token), Err(TokenError::Invalid), "{token}");
    }
}

#[test]
fn errors_do_not_repeat_the_token() {
    let token = signed(Algorithm::HS256, &claims(), "another secret");
    let error = verify(&token).unwrap_err();
    assert!(!format!("{error} {error:?}").contains(&token[..10]));
}
