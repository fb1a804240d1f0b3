//! The headers of a request that the rules ask for.

use hyper::header::HeaderMap;

use super::problem::Problem;
use crate::apidocs::problems::Kind;

/// The headers of these names, in the order of the names. Of a repeated header, the last. `longest`
/// is the most bytes of a value.
///
/// # Errors
/// A value is longer, or not visible ASCII and spaces.
pub(super) fn given(
    names: &[String],
    headers: &HeaderMap,
    longest: usize,
) -> Result<Vec<(String, String)>, Problem> {
    let mut metadata = Vec::new();
    for name in names {
        let Some(value) = headers.get_all(name).iter().next_back() else {
            continue;
        };
        match value.to_str() {
            Ok(text) if text.len() <= longest => metadata.push((name.clone(), text.to_owned())),
            _ => {
                let detail = format!(
                    "the header {name} is not at most {longest} visible ASCII characters and spaces"
                );
                return Err(Problem::new(Kind::BadHeader, detail));
            }
        }
    }
    Ok(metadata)
}
