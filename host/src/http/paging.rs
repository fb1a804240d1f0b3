//! Query parameters of a list: filters, limit, cursor.
//!
//! A cursor is opaque to clients: the key after which the page begins, and a check value that binds
//! it to this listing with these filters. It is no access control; it keeps a client from mixing up
//! two lists by mistake.
//!
//! Must not know: how keys are found, how items are shown.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use saga_contract::description::{Description, Listing, path_parameters};
use saga_contract::listing::{self, FilterType, FilterValue};
use saga_contract::reason::shorten;
use saga_core::admit;
use saga_core::limits::TurnLimits;
use sha2::{Digest as _, Sha256};

use super::problem::Problem;
use super::routes::percent_decode;
use crate::apidocs::problems::{Kind, percent_encode};
use saga_contract::values::Schema;

/// Default number of items per page, if that many are allowed.
const PAGE_ITEMS: usize = 50;

/// Bytes of a check value.
pub(super) const CHECK_BYTES: usize = 8;

/// A listing, ready to serve.
pub struct ListingRoute {
    /// Name of the listing.
    pub name: String,
    /// Name of the command that shows an item.
    pub item: String,
    /// The path parameter of that command, which is the key.
    pub key_parameter: String,
    /// Permissions that its caller needs: those of the command that shows an item.
    pub requires: Vec<String>,
    filters: Vec<FilterRoute>,
}

struct FilterRoute {
    parameter: String,
    pointer: String,
    kind: FilterType,
    schema: Schema,
    /// The values that it may have, if the schema lists them.
    choices: Option<String>,
}

/// The requested page.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PageQuery {
    /// Pointers into the state with the wanted values, in the listing's order.
    pub(super) filters: Vec<(String, FilterValue)>,
    /// Most items.
    pub(super) limit: usize,
    /// The key after which the page begins; `None` for the first page.
    pub(super) after: Option<String>,
    /// The query parameters other than the cursor, as percent-encoded name and value.
    rest: Vec<(String, String)>,
    check: [u8; CHECK_BYTES],
}

impl ListingRoute {
    /// The route of a listing.
    ///
    /// # Errors
    /// The part that can't be served, and the reason.
    pub(super) fn new(described: &Listing, description: &Description) -> Result<Self, String> {
        let item = description.command(&described.item);
        let item = item.ok_or_else(|| format!("there is no command {}", described.item))?;
        let filter = |filter: &saga_contract::description::Filter| {
            let named = |reason| format!("filter {} {reason}", filter.parameter);
            Ok::<_, String>(FilterRoute {
                parameter: filter.parameter.clone(),
                pointer: filter.pointer.clone(),
                kind: FilterType::of(&filter.schema).map_err(named)?,
                schema: Schema::compile(&filter.schema).map_err(named)?,
                choices: listing::choices(&filter.schema).map(|choices| choices.join(", ")),
            })
        };
        Ok(Self {
            name: described.name.clone(),
            item: item.name.clone(),
            key_parameter: path_parameters(&item.path).concat(),
            requires: item.requires.clone(),
            filters: described
                .filters
                .iter()
                .map(filter)
                .collect::<Result<_, _>>()?,
        })
    }

    /// Parses the query of a request.
    ///
    /// # Errors
    /// 400, which names the parameter.
    pub(super) fn read(
        &self,
        query: &str,
        page_items: usize,
        limits: &TurnLimits,
    ) -> Result<PageQuery, Problem> {
        let mut values: Vec<Option<FilterValue>> = self.filters.iter().map(|_| None).collect();
        let (mut limit, mut cursor, mut rest) = (None, None, Vec::new());
        let mut seen = Vec::new();
        for (name, value) in pairs(query)? {
            if seen.contains(&name) {
                return Err(bad_query(&name, "is given twice"));
            }
            match name.as_str() {
                "limit" => limit = Some(read_limit(&value, page_items)?),
                "cursor" => cursor = Some(value.clone()),
                _ => self.read_filter(&name, &value, &mut values)?,
            }
            if name != "cursor" {
                rest.push((percent_encode(&name), percent_encode(&value)));
            }
            seen.push(name);
        }
        let filters: Vec<_> = (self.filters.iter().zip(values))
            .filter_map(|(filter, value)| Some((filter, value?)))
            .collect();
        let check = self.check(&filters);
        let after = cursor.map(|cursor| {
            read_cursor(&cursor, check).filter(|key| admit::check_key(key, limits).is_ok())
        });
        if after == Some(None) {
            let detail = "the cursor is none of this list: take it from `next` of the page before, and leave the filters \
                          as they were";
            return Err(Problem::new(Kind::BadCursor, detail));
        }
        Ok(PageQuery {
            filters: (filters.into_iter())
                .map(|(filter, value)| (filter.pointer.clone(), value))
                .collect(),
            limit: limit.unwrap_or(PAGE_ITEMS.min(page_items)),
            after: after.flatten(),
            rest,
            check,
        })
    }

    /// Parses the query of a request for events, which has filters only.
    ///
    /// # Errors
    /// As [`ListingRoute::read`].
    pub(super) fn filters(
        &self,
        query: &str,
        limits: &TurnLimits,
    ) -> Result<Vec<(String, FilterValue)>, Problem> {
        let pairs = pairs(query)?;
        let mut names = pairs.iter().map(|(name, _)| name.as_str());
        if let Some(name) = names.find(|name| matches!(*name, "limit" | "cursor")) {
            let reason = "is for pages; events come for all items of the list, so leave it out";
            return Err(bad_query(name, reason));
        }
        Ok(self.read(query, PAGE_ITEMS, limits)?.filters)
    }

    fn read_filter(
        &self,
        name: &str,
        value: &str,
        values: &mut [Option<FilterValue>],
    ) -> Result<(), Problem> {
        let mut places = self.filters.iter().zip(values);
        let Some((filter, place)) = places.find(|(filter, _)| filter.parameter == name) else {
            let filters = self.filters.iter().map(|filter| filter.parameter.as_str());
            let known: Vec<_> = filters.chain(["limit", "cursor"]).collect();
            let reason = format!("is none of this list's: {}", known.join(", "));
            return Err(bad_query(name, reason));
        };
        let read = filter
            .kind
            .read(value)
            .map_err(|reason| bad_query(name, reason))?;
        if let Err(wrong) = filter.schema.check(&read.to_json(), value.len()) {
            let reasons: Vec<_> = wrong
                .places()
                .into_iter()
                .map(|place| place.detail)
                .collect();
            let reason = match &filter.choices {
                Some(choices) => format!("is none of: {choices}"),
                None => format!("is wrong: {}", reasons.join("; ")),
            };
            return Err(bad_query(name, reason));
        }
        *place = Some(read);
        Ok(())
    }

    fn check(&self, filters: &[(&FilterRoute, FilterValue)]) -> [u8; CHECK_BYTES] {
        let given: Vec<_> = (filters.iter())
            .map(|(filter, value)| (&filter.parameter, value.to_json()))
            .collect();
        check_value(&serde_json::json!([self.name, given]))
    }
}

impl PageQuery {
    /// The cursor of the page that begins after this key.
    pub(super) fn cursor(&self, key: &str) -> String {
        URL_SAFE_NO_PAD.encode([&self.check, key.as_bytes()].concat())
    }

    /// The query of the page with this cursor.
    pub(super) fn next_query(&self, cursor: &str) -> String {
        let rest = self.rest.iter().map(|(name, value)| (&**name, &**value));
        let pairs: Vec<_> = rest
            .chain([("cursor", cursor)])
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        pairs.join("&")
    }
}

/// A check value for a list that these values tell from others.
pub(super) fn check_value(list: &serde_json::Value) -> [u8; CHECK_BYTES] {
    let mut check = [0; CHECK_BYTES];
    for (byte, digest) in check.iter_mut().zip(Sha256::digest(list.to_string())) {
        *byte = digest;
    }
    check
}

/// The key in a cursor; `None` if it is no cursor, or one of another list.
fn read_cursor(text: &str, check: [u8; CHECK_BYTES]) -> Option<String> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let key = bytes.strip_prefix(&check)?;
    String::from_utf8(key.to_vec()).ok()
}

/// The parameters of a query, decoded, in order.
///
/// # Errors
/// Names what is not percent-encoded UTF-8.
pub fn pairs(query: &str) -> Result<Vec<(String, String)>, Problem> {
    let decode = |text: &str| percent_decode(&text.replace('+', " "));
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let named = decode(name).ok_or_else(|| bad_query(name, "is not percent-encoded UTF-8"));
            let name = named?;
            let value = decode(value);
            let value = value.ok_or_else(|| bad_query(&name, "is not percent-encoded UTF-8"));
            Ok((name, value?))
        })
        .collect()
}

fn read_limit(text: &str, page_items: usize) -> Result<usize, Problem> {
    let limit = text.parse().ok();
    limit
        .filter(|limit: &usize| limit.to_string() == text)
        .filter(|limit| (1..=page_items).contains(limit))
        .ok_or_else(|| bad_query("limit", format!("is not a number from 1 to {page_items}")))
}

fn bad_query(parameter: &str, reason: impl AsRef<str>) -> Problem {
    let detail = format!(
        "query parameter `{}` {}",
        shorten(parameter.to_owned()),
        shorten(reason.as_ref().to_owned())
    );
    Problem::new(Kind::BadQuery, detail)
}

#[cfg(test)]
#[path = "paging_tests.rs"]
mod tests;
