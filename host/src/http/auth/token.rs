//! JSON Web Tokens (RFC 7519): from a token to the caller that it names.
//!
//! The algorithm is the key's, never the token's choice; `none` and symmetric ones don't exist here.
//! Issuer, audience and the end of the token are required. Times are checked here: the library
//! can't read numbers where serde_json keeps all digits.
//!
//! Pure: keys and time are inputs. A reason never quotes the token.

use std::collections::HashSet;

use jsonwebtoken::errors::{Error, ErrorKind};
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use saga_contract::json;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::identity::{CallerIdentity, check_subject, listed};
use super::keys::KeySet;

/// Longest token, in bytes. It fits into the head of an HTTP/2 request.
const TOKEN_BYTES: usize = 12 << 10;

/// The requirements on tokens.
#[derive(Debug, Clone)]
pub(super) struct TokenRules {
    /// Their issuer.
    pub(super) issuer: String,
    /// The audiences, one of which they name.
    pub(super) audience: Vec<String>,
    /// The algorithms that they may be signed with.
    pub(super) algorithms: Vec<Algorithm>,
    /// Milliseconds by which clocks may differ.
    pub(super) leeway_ms: u64,
    /// The claim that names the caller.
    pub(super) subject_claim: String,
    /// The claim with permissions, or a pointer to it.
    pub(super) permissions_claim: String,
}

/// Why a token is not valid.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Rejected {
    /// None of the keys has the token's key id; newer keys may.
    UnknownKey,
    /// The reason.
    Invalid(String),
}

impl From<String> for Rejected {
    fn from(reason: String) -> Self {
        Self::Invalid(reason)
    }
}

/// The caller that a token names, at this time in milliseconds since the Unix epoch.
///
/// # Errors
/// The reason why the token is not valid.
pub(super) fn verify(
    token: &str,
    keys: &KeySet,
    rules: &TokenRules,
    now: u64,
) -> Result<CallerIdentity, Rejected> {
    if token.len() > TOKEN_BYTES {
        let length = token.len();
        let reason = format!("the token has {length} bytes; it may have {TOKEN_BYTES}");
        return Err(reason.into());
    }
    let claims = signed_claims(token, keys, rules)?;
    let expires = still_valid(&claims, rules, now)?;
    identity(claims, rules, expires)
}

/// The claims of a token with a valid signature, the right issuer and the right audience.
fn signed_claims(
    token: &str,
    keys: &KeySet,
    rules: &TokenRules,
) -> Result<Map<String, Value>, Rejected> {
    let unreadable = |_| {
        "the token can't be read: it is no JSON Web Token that is signed with an asymmetric algorithm".to_owned()
    };
    let header = decode_header(token).map_err(unreadable)?;
    if !rules.algorithms.contains(&header.alg) {
        let reason = format!(
            "the token is signed with {:?}, which is not allowed here",
            header.alg
        );
        return Err(reason.into());
    }
    let mut is_named = false;
    for key in keys.named(header.kid.as_deref()) {
        is_named = true;
        if !key.algorithms.contains(&header.alg) {
            continue;
        }
        match decode::<Box<RawValue>>(token, &key.key, &validation(rules, header.alg)) {
            Ok(found) => {
                let claims = json::parse(found.claims.get());
                return match claims {
                    Ok(Value::Object(claims)) => Ok(claims),
                    Ok(_) => Err("the claims of the token are no JSON object"
                        .to_owned()
                        .into()),
                    Err(reason) => Err(format!("the payload of the token {reason}").into()),
                };
            }
            // Another key without an id may fit.
            Err(error) if matches!(error.kind(), ErrorKind::InvalidSignature) => {}
            Err(error) => return Err(reason(&error, rules).into()),
        }
    }
    match is_named {
        true => Err("the signature of the token is not valid".to_owned().into()),
        false => Err(Rejected::UnknownKey),
    }
}

fn validation(rules: &TokenRules, algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.set_issuer(&[&rules.issuer]);
    validation.set_audience(&rules.audience);
    validation.required_spec_claims = HashSet::from(["iss".to_owned(), "aud".to_owned()]);
    validation.validate_exp = false;
    validation
}

fn reason(error: &Error, rules: &TokenRules) -> String {
    match error.kind() {
        ErrorKind::InvalidIssuer => format!("the token is not of the issuer {}", rules.issuer),
        ErrorKind::InvalidAudience => format!(
            "the token is for another audience; it must name {}",
            rules.audience.join(" or ")
        ),
        ErrorKind::MissingRequiredClaim(claim) | ErrorKind::InvalidClaimFormat(claim) => {
            format!("the token has no valid claim `{claim}`")
        }
        _ => "the token can't be read".into(),
    }
}

/// The time at which a token expires, in milliseconds since the Unix epoch, leeway included; if it
/// is valid now.
fn still_valid(claims: &Map<String, Value>, rules: &TokenRules, now: u64) -> Result<u64, Rejected> {
    let time = |name: &str| -> Result<Option<u64>, Rejected> {
        let Some(value) = claims.get(name) else {
            return Ok(None);
        };
        // Seconds, with a fraction if the issuer likes.
        let seconds = value.as_f64().filter(|seconds| *seconds >= 0.0);
        let seconds = seconds.ok_or_else(|| format!("the token has no valid claim `{name}`"))?;
        Ok(Some((seconds * 1_000.0) as u64))
    };
    let expires = time("exp")?;
    let expires = expires
        .ok_or_else(|| "the token has no claim `exp`, so it would be valid for ever".to_owned())?;
    let expires = expires.saturating_add(rules.leeway_ms);
    if expires <= now {
        return Err("the token has expired".to_owned().into());
    }
    if let Some(begins) = time("nbf")?
        && begins > now.saturating_add(rules.leeway_ms)
    {
        return Err("the token is not valid yet".to_owned().into());
    }
    Ok(expires)
}

fn identity(
    claims: Map<String, Value>,
    rules: &TokenRules,
    expires: u64,
) -> Result<CallerIdentity, Rejected> {
    let name = &rules.subject_claim;
    let subject = claims.get(name).and_then(Value::as_str);
    let subject =
        subject.ok_or_else(|| format!("the token has no claim `{name}` that names its caller"))?;
    check_subject(subject).map_err(|reason| format!("the claim `{name}` of the token {reason}"))?;
    let own = match rules.permissions_claim.starts_with('/') {
        true => pointed(&claims, &rules.permissions_claim),
        false => claims.get(&rules.permissions_claim),
    };
    let permissions = [claims.get("scope"), own].into_iter().flatten();
    Ok(CallerIdentity {
        subject: subject.to_owned(),
        permissions: permissions.flat_map(permissions_in).collect(),
        claims,
        expires: Some(expires),
    })
}

/// The value at a JSON pointer into the claims.
fn pointed<'c>(claims: &'c Map<String, Value>, pointer: &str) -> Option<&'c Value> {
    let (first, rest) = match pointer.strip_prefix('/')?.split_once('/') {
        Some((first, rest)) => (first, Some(rest)),
        None => (pointer.strip_prefix('/')?, None),
    };
    let value = claims.get(&first.replace("~1", "/").replace("~0", "~"))?;
    match rest {
        Some(rest) => value.pointer(&format!("/{rest}")),
        None => Some(value),
    }
}

fn permissions_in(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => listed(text, &[' ']).collect(),
        Value::Array(all) => {
            let texts = all.iter().filter_map(Value::as_str);
            texts.map(str::to_owned).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
