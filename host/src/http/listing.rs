//! One page of a list: its keys, each shown by the rules, and the link to the next page.
//!
//! Keys are chosen from committed state, on threads that may block. Each is then shown by a read
//! turn of its own, so migration, caches and generations work as in any read. Aggregates that are
//! removed or leave the list meanwhile, or that the rules refuse to show, are left out; a fault of the rules on an
//! item is the page's problem, because a page without that item would hide it.
//!
//! Must not know: SQL, components, any participant by name. Invariant 9: bounded are the items and
//! bytes of a page, its concurrent turns, and the readers per participant.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::{self, HeaderValue};
use hyper::http::request::Parts;
use saga_contract::json;
use saga_contract::listing::FilterValue;
use saga_contract::reason::shorten;
use saga_core::message::Origin;
use saga_core::outcome::Reply;
use saga_core::rules::{Fault, FaultKind};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::answer::{Answered, json_response, too_many_bytes};
use super::auth::request::RequestCaller;
use super::conditional;
use super::paging::{ListingRoute, PageQuery};
use super::problem::{Problem, stopping, try_later};
use super::reply;
use crate::apidocs::problems::Kind;
use crate::base::budget::{Budget, Reserved};
use crate::base::clock::now_ms;
use crate::store::{Page, ReadStore, Store, StoreResult, Tally, Verdict, Wanted};
use crate::turn::{Active, Answer, CommandCall, Participant};

/// Pages per participant whose keys are chosen at once. Others wait.
const READERS: usize = 4;

/// Event streams of a participant that make a piece at once.
const STREAMS: usize = 1;

/// Items of a page shown at once: a page must not fill the workers' queues.
pub(super) const AT_ONCE: usize = 16;

/// Bytes of items after which a page ends.
const PAGE_BYTES: usize = 4 << 20;

/// Serves the listings of one participant.
#[derive(Clone)]
pub struct Lists {
    store: Arc<Store>,
    places: Arc<Semaphore>,
    /// Event streams that look for changes and have items shown at once. Others wait, and have
    /// fewer changes to send then: streams must not slow turns down.
    pub(super) streams: Arc<Semaphore>,
    page_items: usize,
}

/// The items of a page shown so far.
struct Shown {
    items: Vec<String>,
    bytes: usize,
    reserved: Reserved,
    /// The last key processed, shown or not.
    last: Option<String>,
}

impl Lists {
    /// Lists from this store, with at most `page_items` items per page.
    #[must_use]
    pub fn new(store: Arc<Store>, page_items: usize) -> Self {
        Self {
            store,
            places: Arc::new(Semaphore::new(READERS)),
            streams: Arc::new(Semaphore::new(STREAMS)),
            page_items,
        }
    }

    /// A name that tells the store from all others.
    pub(super) fn store_identity(&self) -> &str {
        self.store.identity()
    }

    /// Answers with a page; `None` if the rules were swapped while it was made.
    pub(super) async fn answer(
        &self,
        participant: &Arc<Participant>,
        active: &Arc<Active>,
        route: &ListingRoute,
        (head, caller): (&Parts, &RequestCaller),
        budget: &Budget,
    ) -> Result<Option<Answered>, Problem> {
        let query = head.uri.query().unwrap_or_default();
        let asked = route.read(query, self.page_items, participant.limits())?;
        let wanted = Wanted {
            participant: participant.row(),
            filters: asked.filters.clone(),
            after: asked.after.clone(),
            most: asked.limit,
        };
        let page = self.keys(participant, active, route, wanted).await?;
        let mut shown = Shown {
            items: Vec::new(),
            bytes: 0,
            reserved: budget.nothing(),
            last: None,
        };
        for keys in page.keys.chunks(AT_ONCE) {
            let rules = (participant, active, route);
            let items = show(rules, caller, &asked.filters, keys).await?;
            for (key, item) in keys.iter().zip(items) {
                let is_known = shown.take(key, item)?;
                if !is_known {
                    return Ok(None);
                }
                if !shown.is_charged() {
                    return Err(too_many_bytes(budget));
                }
                if shown.bytes >= PAGE_BYTES {
                    return Ok(Some(shown.response(&asked, head, &page)));
                }
            }
        }
        Ok(Some(shown.response(&asked, head, &page)))
    }

    /// Chooses the keys of a page.
    pub(super) async fn keys(
        &self,
        participant: &Participant,
        active: &Active,
        route: &ListingRoute,
        wanted: Wanted,
    ) -> Result<Page, Problem> {
        let tally = Tally {
            generation: active.generation.id,
            origin: Origin::Command,
            name: route.name.clone(),
            verdict: Verdict::Read,
            time: now_ms(),
        };
        let choose = move |store: &dyn ReadStore| store.page(&wanted);
        let page = self.read(participant, choose).await?;
        self.store.count(tally);
        Ok(page)
    }

    /// Reads committed data of the store.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        participant: &Participant,
        query: impl FnOnce(&dyn ReadStore) -> StoreResult<T> + Send + 'static,
    ) -> Result<T, Problem> {
        let read = async {
            let place = self.places.clone().acquire_owned().await;
            let place = place.map_err(|_| stopping())?;
            let store = self.store.clone();
            let read = move || {
                let found = committed(&*store, query);
                // Not before: a client that disconnects does not stop the query.
                drop(place);
                found
            };
            let found = tokio::task::spawn_blocking(read).await;
            found
                .map_err(|_| stopping())?
                .map_err(|fault| reply::store_failed(&fault))
        };
        let time = participant.answer_time();
        let late = |_| try_later(format!("the list was not read within {} s", time.as_secs()));
        tokio::time::timeout(time, read).await.map_err(late)?
    }
}

/// Reads committed data. Blocks.
fn committed<T>(
    store: &Store,
    query: impl FnOnce(&dyn ReadStore) -> StoreResult<T>,
) -> StoreResult<T> {
    let condition = store.condition();
    if let Some(gone) = condition.loss() {
        return Err(gone);
    }
    let found = store.reader().and_then(|reader| query(&*reader));
    found.inspect_err(|fault| {
        condition.report("a list can't be read from the store", fault);
    })
}

/// Shows these aggregates, in the order of the keys. One whose state was changed since the keys
/// were chosen, so that the filters don't hold any more, is left out.
pub(super) async fn show(
    (participant, active, route): (&Arc<Participant>, &Arc<Active>, &ListingRoute),
    caller: &RequestCaller,
    filters: &[(String, FilterValue)],
    keys: &[String],
) -> Result<Vec<Item>, Problem> {
    let mut turns = JoinSet::new();
    let filters: Arc<[_]> = filters.into();
    let told = caller.told(&active.description().claims);
    for (place, key) in keys.iter().enumerate() {
        let participant = participant.clone();
        let call = CommandCall {
            under: active.clone(),
            command: route.item.clone(),
            parameters: vec![(route.key_parameter.clone(), key.clone())],
            body: "null".into(),
            caller: told.clone(),
            metadata: Vec::new(),
            key: Some(key.clone()),
            correlation: None,
            traceparent: None,
            claim: None,
            reserved: None,
        };
        let (filters, key) = (filters.clone(), key.clone());
        turns.spawn(async move {
            let answer = participant.command(call).await;
            let item = answer.map_err(Problem::from);
            (
                place,
                item.and_then(|answer| Item::of(&key, answer, &filters)),
            )
        });
    }
    let mut items: Vec<_> = keys.iter().map(|_| None).collect();
    while let Some(turn) = turns.join_next().await {
        let (place, item) = turn.map_err(|error| try_later(error.to_string()))?;
        if let Some(slot) = items.get_mut(place) {
            *slot = Some(item?);
        }
    }
    let items: Option<_> = items.into_iter().collect();
    items.ok_or_else(stopping)
}

/// True if all filters hold for the state that a read saw.
fn hold(filters: &[(String, FilterValue)], seen: Option<&str>) -> bool {
    if filters.is_empty() {
        return true;
    }
    let state = seen.and_then(|state| json::parse(state).ok());
    state.is_some_and(|state| {
        let mut filters = filters.iter();
        filters.all(|(pointer, value)| value.is_at(pointer, &state))
    })
}

/// How an item of a list is shown.
pub(super) enum Item {
    /// JSON text.
    Shown(String),
    /// Not: it was removed, it has left the list, or the rules refuse to show it.
    LeftOut,
    /// The rules were swapped: it must be asked for again.
    Swapped,
    /// The rules broke on it.
    Fault(Problem),
}

impl Item {
    /// The item of this key in a list with these filters, by the answer of the read.
    fn of(key: &str, answer: Answer, filters: &[(String, FilterValue)]) -> Result<Self, Problem> {
        let (kind, told) = match answer {
            Answer::Replied(replied) => {
                let is_in = hold(filters, replied.seen.as_deref());
                return Ok(match replied.reply {
                    Reply::Done(_) | Reply::Pending(_) if !is_in => Self::LeftOut,
                    Reply::Done(item) | Reply::Pending(item) => Self::Shown(item),
                    Reply::Refused(_) => Self::LeftOut,
                });
            }
            Answer::CheckAgain(_) => return Ok(Self::Swapped),
            Answer::Broke(fault, id) => (Kind::RulesBroke, reply::broken(&fault, &id)),
            Answer::Quarantined(fault) => (Kind::Quarantined, reply::unreadable(&fault)),
            Answer::Malformed(reason) => {
                let detail = format!("malformed: {reason}");
                let fault = Fault::new(FaultKind::BadOutput, detail);
                (Kind::RulesBroke, fault.to_string())
            }
            Answer::TryLater(reason) => return Err(try_later(reason)),
            Answer::StoreFailed(fault) => return Err(reply::store_failed(&fault)),
            Answer::Blocked => return Err(reply::blocked()),
            Answer::StateRead(_) => return Ok(Self::LeftOut),
        };
        let key = shorten(key.to_owned());
        let detail = format!("the rules broke on the item of key `{key}`: {told}");
        Ok(Self::Fault(Problem::new(kind, detail)))
    }
}

impl Shown {
    /// Adds one item; false if the rules were swapped, so that the page must be made
    /// again.
    fn take(&mut self, key: &str, item: Item) -> Result<bool, Problem> {
        self.last = Some(key.to_owned());
        match item {
            Item::Shown(item) => {
                self.bytes += item.len();
                self.items.push(item);
                Ok(true)
            }
            Item::LeftOut => Ok(true),
            Item::Swapped => Ok(false),
            Item::Fault(problem) => Err(problem),
        }
    }

    /// Reserves the items shown so far; false if the budget has no room.
    fn is_charged(&mut self) -> bool {
        let more = self.bytes.saturating_sub(self.reserved.bytes());
        self.reserved.try_grow(more)
    }

    fn response(self, asked: &PageQuery, head: &Parts, page: &Page) -> Answered {
        // A page that ended early continues after its last item.
        let is_whole = self.last.as_ref() == page.keys.last();
        let next = if is_whole {
            page.next.clone()
        } else {
            self.last
        };
        let cursor = next.map(|key| asked.cursor(&key));
        let items = self.items.join(",");
        let body = match &cursor {
            Some(cursor) => format!(r#"{{"items":[{items}],"next":"{cursor}"}}"#),
            None => format!(r#"{{"items":[{items}]}}"#),
        };
        let tag = conditional::tag(&body);
        let response = json_response(StatusCode::OK, "application/json", body);
        let mut response = response.map(|body| body.reserved(self.reserved));
        conditional::mark(&mut response, &tag);
        // The same path serves events too.
        let vary = HeaderValue::from_static("accept");
        response.headers_mut().insert(header::VARY, vary);
        if let Some(cursor) = cursor {
            let query = asked.next_query(&cursor);
            let link = format!("<{}?{query}>; rel=\"next\"", head.uri.path());
            if let Ok(link) = HeaderValue::from_str(&link) {
                response.headers_mut().insert(header::LINK, link);
            }
        }
        response
    }
}
