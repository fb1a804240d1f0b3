//! A store copied to another place with its components, and the check of a store with its
//! components.

use std::time::Instant;

use serde::Serialize;

use super::archive::Archive;
use super::backup::active;
use crate::store::StoreLocation;
use crate::store::check::{CheckError, Checked, check as check_rows};
use crate::store::copy::{CopiedKind, CopyError, Progress, open};

/// A finished copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Copied {
    /// The store that was copied.
    pub from: String,
    /// The copy.
    pub to: String,
    /// The rows of each kind.
    pub kinds: Vec<CopiedKind>,
    /// Digests of the components that were copied.
    pub components: Vec<String>,
    /// Digests of active components of which the source has no copy.
    pub missing: Vec<String>,
    /// Duration in milliseconds.
    pub ms: u64,
}

/// Copies a store, which no host uses, to an empty one.
///
/// # Errors
/// The reason why there is no copy. The target has no rows then.
pub fn copy(
    from: &StoreLocation,
    to: &StoreLocation,
    progress: &mut Progress<'_>,
) -> Result<Copied, CopyError> {
    let began = Instant::now();
    let copying = open(from, to, progress)?;
    // Before the rows, since a component is kept before its generation is recorded.
    progress("copying components", 0, 0);
    let (source, target) = (Archive::of_store(from), Archive::of_store(to));
    let digests = source
        .digests()
        .map_err(|reason| CopyError::failed(&from.to_string(), reason))?;
    let mut components = Vec::new();
    for digest in digests {
        // A damaged one can't be used there either; that matters only if it is active.
        if let Ok(bytes) = source.read(&digest) {
            let kept = target.keep(&digest, &bytes);
            kept.map_err(|reason| CopyError::failed(&to.to_string(), reason))?;
            components.push(digest);
        }
    }
    let kinds = copying.run(progress)?;
    let used = active_in(to).unwrap_or_default();
    Ok(Copied {
        from: from.to_string(),
        to: to.to_string(),
        kinds,
        missing: (used.into_iter())
            .filter(|digest| !components.contains(digest))
            .collect(),
        components,
        ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
    })
}

/// Checks a store and its components, beside the hosts that may use it.
///
/// # Errors
/// It can't be opened.
pub fn check(
    store: &StoreLocation,
    progress: &mut dyn FnMut(&str),
) -> Result<Vec<Checked>, CheckError> {
    let mut checked = check_rows(store, progress)?;
    progress("components");
    let mut components = Checked {
        what: "components".into(),
        looked_at: None,
        wrong: 0,
        named: Vec::new(),
    };
    let archive = Archive::of_store(store);
    let digests = archive.digests().unwrap_or_else(|reason| {
        components.add(format!("can't be read: {reason}"));
        Vec::new()
    });
    components.looked_at = Some(digests.len() as u64);
    for digest in &digests {
        if let Err(reason) = archive.read(digest) {
            components.add(reason);
        }
    }
    match active_in(store) {
        Ok(active) => {
            for digest in active.iter().filter(|digest| !digests.contains(digest)) {
                components.add(format!(
                    "the active component {digest} is not kept; keep its file, a host needs it"
                ));
            }
        }
        Err(reason) => components.add(format!("the active ones can't be told: {reason}")),
    }
    checked.push(components);
    Ok(checked)
}

/// Digests of the active components of a store; none if there is no store.
fn active_in(store: &StoreLocation) -> Result<Vec<String>, String> {
    let reading = store.look().map_err(|error| error.to_string())?;
    let digests = reading.as_deref().map(active).transpose();
    let digests = digests.map_err(|fault| fault.to_string())?;
    Ok(digests.unwrap_or_default())
}
