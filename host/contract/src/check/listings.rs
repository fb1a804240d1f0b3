//! Listings and their filters. Invariant 9: these bounds limit the number of indexes that a
//! participant may request.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Problems, checking, free, parsed};
use crate::description::{
    CommandKind, Description, Filter, KeySource, Listing, Method, is_base_path, path_parameters,
};
use crate::listing::{FilterType, OWN_PARAMETERS};
use crate::schema::Types;
use crate::schema::pointer::{is_pointer, types_at};

/// Listings of one participant.
const LISTINGS: usize = 16;

/// Filters of one listing. Each is an index, which turns that change the value have to update.
const FILTERS: usize = 8;

/// Bytes of a filter's pointer, which becomes part of the definition of an index.
const POINTER_BYTES: usize = 256;

pub(super) fn check(description: &Description, found: &mut Problems) {
    let listings = &description.listings;
    if listings.len() > LISTINGS {
        let reason = format!("are {}, at most {LISTINGS} are possible", listings.len());
        found.add("listings", reason);
    }
    let state = parsed(&description.state.schema).unwrap_or(Value::Bool(true));
    let commands = description.commands.iter();
    let mut names: BTreeSet<_> = commands.clone().map(|command| &command.name).collect();
    let gets = commands.filter(|command| command.method == Method::Get);
    let mut paths: BTreeSet<_> = gets.map(|command| &command.path).collect();
    for listing in listings {
        let place = format!("listing {}", listing.name);
        if listing.name.is_empty() {
            found.add(&place, "has no name");
        }
        if listing.summary.is_empty() {
            found.add(&place, "has no summary: say in one sentence what it lists");
        }
        if !names.insert(&listing.name) {
            found.add(&place, "another listing or a command has this name too");
        }
        let path = &listing.path;
        if path.is_empty() || !is_base_path(path) {
            let reason = format!("path `{path}` must look like `/a/b`, without parameters");
            found.add(&place, reason);
        }
        free(path, &place, found);
        if !paths.insert(path) {
            found.add(&place, format!("GET {path} is served otherwise too"));
        }
        item(description, listing, &place, found);
        filters(listing, &state, &place, found);
    }
}

fn item(description: &Description, listing: &Listing, place: &str, found: &mut Problems) {
    let name = &listing.item;
    let Some(item) = description.command(name) else {
        return found.add(place, format!("item: there is no command `{name}`"));
    };
    let is_read = matches!(item.kind, CommandKind::Read) && item.request.is_none();
    let is_keyed = matches!(item.key, KeySource::PathParameter(_));
    if !is_read || !is_keyed || path_parameters(&item.path).len() != 1 {
        let reason = format!(
            "item: command `{name}` must be a read without a body, whose path has one parameter, the key"
        );
        found.add(place, reason);
    }
}

fn filters(listing: &Listing, state: &Value, place: &str, found: &mut Problems) {
    let filters = &listing.filters;
    if filters.len() > FILTERS {
        let reason = format!(
            "has {} filters, at most {FILTERS} are possible",
            filters.len()
        );
        found.add(place, reason);
    }
    let mut parameters = BTreeSet::from(OWN_PARAMETERS);
    for filter in filters {
        let parameter = &filter.parameter;
        let place = format!("{place} filter {parameter}");
        if !is_parameter(parameter) {
            let reason = "its name must be 1 to 64 letters, digits, `-`, `.`, `_` and `~`";
            found.add(&place, reason);
        }
        if !parameters.insert(parameter) {
            found.add(&place, "the listing has a parameter of this name already");
        }
        if let Err(reason) = value(filter, state) {
            found.add(&place, reason);
        }
    }
}

/// Checks that a filter can be compared with the state's value at its pointer.
fn value(filter: &Filter, state: &Value) -> Result<(), String> {
    let pointer = &filter.pointer;
    let is_plain = !pointer.chars().any(char::is_control);
    if !is_pointer(pointer) || !is_plain || pointer.len() > POINTER_BYTES {
        return Err(format!(
            "`{pointer}` is not a JSON pointer such as `/order/id`, of at most {POINTER_BYTES} bytes"
        ));
    }
    let there = types_at(state, pointer)
        .map_err(|nowhere| format!("`{pointer}` into the state {nowhere}"))?;
    checking(&filter.schema)?;
    let compared = match FilterType::of(&filter.schema)? {
        FilterType::Text => Types::STRING,
        FilterType::Integer => Types::INTEGER,
        FilterType::Boolean => Types::BOOLEAN,
    };
    if there.has(compared) {
        return Ok(());
    }
    Err(format!(
        "`{pointer}` is {} in the state, and the filter's schema says {}",
        there.told(),
        compared.told()
    ))
}

fn is_parameter(name: &str) -> bool {
    // The unreserved characters of RFC 3986. They need no encoding, so each name has one form.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    (1..=64).contains(&name.len()) && name.bytes().all(plain)
}

#[cfg(test)]
#[path = "listings_tests.rs"]
mod tests;
