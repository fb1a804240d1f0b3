//! The items of a list as they change, as server-sent events.
//!
//! A list that is requested as events first sends the items that it has, in its order, and then
//! each aggregate that changes while it is in the list, comes into it, or leaves it. Changes are
//! read from the journal ([`crate::store::list_changes`]), so a stream keeps no list of what it has
//! sent. Its memory is bounded (invariant 9): the keys of one query, and the items of one piece.
//! Nothing is read before the client has taken the last piece; changes of one aggregate in between
//! become one.
//!
//! # What is promised
//!
//! The id of an event is a place in the list, or in the journal. A client that reconnects with it
//! gets everything that came after it at least once, for each aggregate in the order of its
//! commits. If the journal no longer has that place, or if other rules describe the list otherwise,
//! the list begins again, with the event `begin`.
//!
//! Must not know: SQL, components, any participant by name.

use std::collections::VecDeque;
use std::time::Duration;

use hyper::header::HeaderMap;
use saga_contract::listing::FilterValue;
use tokio::time::Instant;

use super::answer::{Answered, nothing_at, too_many_bytes};
use super::auth::request::RequestCaller;
use super::events::{EventBytes, Follow, LAST_EVENT_ID, response, sign_of_life};
use super::list_place::{ListPlace, ListStage, check_of};
use super::list_text;
use super::listing::{AT_ONCE, Item, Lists, show};
use super::paging::ListingRoute;
use super::problem::{Problem, stopping, try_later};
use super::routes::RouteMatch;
use super::service::{CHECKS, Serving};
use super::waiting::Watcher;
use crate::base::budget::Budget;
use crate::store::{ChangedItem, ChangesWanted, JournalPosition, Wanted};

/// Least time between two looks at the journal by a stream that has sent everything: under load, it
/// looks for many commits at once.
const PAUSE: Duration = Duration::from_millis(100);

/// The request for a list as events.
pub(super) struct ListRequest {
    /// Path of the list, base path included.
    pub(super) path: String,
    /// Its query.
    pub(super) query: String,
    /// Path prefix of the participant.
    pub(super) base_path: String,
    /// Time between heartbeats.
    pub(super) heartbeat: Duration,
    /// Bytes that clients have not taken yet.
    pub(super) budget: Budget,
    /// The caller. The stream ends when the caller's token expires.
    pub(super) caller: RequestCaller,
}

/// Opens a stream. Errors of the first piece are answered like those of a page.
pub(super) async fn open(
    lists: Lists,
    watcher: Watcher,
    request: ListRequest,
    headers: &HeaderMap,
) -> Result<Answered, Problem> {
    let last = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok());
    let mut stream = ListStream {
        lists,
        watcher,
        request,
        known: last.and_then(ListPlace::read),
        rules: String::new(),
        stage: ListStage::Begin,
        shown: JournalPosition::default(),
        changed: VecDeque::new(),
        read: JournalPosition::default(),
        check: [0; ListPlace::CHECK],
        told: None,
    };
    // A client that has seen everything gets a comment, which shows that the stream is open.
    let first = stream.available().await?.unwrap_or_else(sign_of_life);
    Ok(response(first, stream))
}

/// A stream between two pieces.
struct ListStream {
    lists: Lists,
    watcher: Watcher,
    request: ListRequest,
    /// The place that the client knows, until it was looked for.
    known: Option<ListPlace>,
    /// Digest of the rules for which `check` was computed.
    rules: String,
    /// Stands for the list: its description, its filters and its store.
    check: [u8; ListPlace::CHECK],
    stage: ListStage,
    /// The place in the journal up to which the client knows all changes.
    shown: JournalPosition,
    /// Changes that were read and not sent yet.
    changed: VecDeque<ChangedItem>,
    /// The place in the journal up to which changes were read.
    read: JournalPosition,
    /// The place in the last id that was sent.
    told: Option<JournalPosition>,
}

/// A list under the active rules.
struct List<'a> {
    serving: &'a Serving,
    route: &'a ListingRoute,
    filters: Vec<(String, FilterValue)>,
}

/// The next piece.
enum Piece {
    Events(String),
    /// Nothing has changed.
    Nothing,
    /// The rules were swapped meanwhile.
    Swapped,
}

impl Follow for ListStream {
    async fn next(mut self) -> Option<(EventBytes, Self)> {
        let silent_until = Instant::now() + self.request.heartbeat;
        loop {
            if self.watcher.is_draining() {
                return None;
            }
            if let Some(piece) = self.available().await.ok()? {
                return Some((piece, self));
            }
            let looked = Instant::now();
            tokio::select! {
                is_so = self.watcher.changed() => match is_so {
                    true => tokio::time::sleep_until(looked + PAUSE).await,
                    false => return None,
                },
                () = self.request.caller.expired() => return None,
                () = tokio::time::sleep_until(silent_until) => {
                    let heartbeat = self.heartbeat();
                    return Some((heartbeat, self));
                }
            }
        }
    }
}

impl ListStream {
    /// A comment; with the id of the present place, if that has changed without an event.
    fn heartbeat(&mut self) -> EventBytes {
        if self.told == Some(self.shown) {
            return sign_of_life();
        }
        self.told = Some(self.shown);
        let id = self.id(&ListStage::Changes, self.shown);
        (format!(":\nid: {id}\n\n").into(), None)
    }

    /// The next piece that can be sent now; `None` if the client has everything.
    async fn available(&mut self) -> Result<Option<EventBytes>, Problem> {
        for _ in 0..CHECKS {
            let serving = self.watcher.serving();
            let RouteMatch::Listing(route) =
                (serving.routes).find(&hyper::Method::GET, &self.request.path)
            else {
                return Err(nothing_at(&self.request.path));
            };
            self.request.caller.permit(true, &route.requires)?;
            let limits = self.watcher.participant.limits();
            let filters = route.filters(&self.request.query, limits)?;
            self.compare(&serving, route, &filters);
            let list = List {
                serving: &serving,
                route,
                filters,
            };
            match self.piece(&list).await? {
                Piece::Nothing => return Ok(None),
                Piece::Swapped => self.watcher.swapped().await,
                Piece::Events(text) => {
                    let budget = &self.request.budget;
                    let reserved = budget.try_reserve(text.len());
                    let reserved = reserved.ok_or_else(|| too_many_bytes(budget))?;
                    return Ok(Some((text.into(), Some(reserved))));
                }
            }
        }
        let detail = "the rules were swapped several times while the list was read";
        Err(try_later(detail.into()))
    }

    /// Begins again if other rules describe the list otherwise; goes on at the place that the
    /// client knows if it is one of this list.
    fn compare(
        &mut self,
        serving: &Serving,
        route: &ListingRoute,
        filters: &[(String, FilterValue)],
    ) {
        let digest = serving.active.digest();
        if self.rules == digest {
            return;
        }
        let store = self.lists.store_identity();
        let check = check_of(store, serving.active.description(), &route.name, filters);
        let is_other = check != self.check;
        self.rules = digest.to_owned();
        self.check = check;
        if is_other {
            self.begin_again();
        }
        if let Some(known) = self.known.take().filter(|known| known.check == check) {
            self.stage = known.stage;
            (self.shown, self.read) = (known.journal, known.journal);
            self.told = Some(known.journal);
        }
    }

    fn begin_again(&mut self) {
        self.stage = ListStage::Begin;
        self.changed.clear();
    }

    async fn piece(&mut self, list: &List<'_>) -> Result<Piece, Problem> {
        let mut text = String::new();
        loop {
            // With one step at a time, a long way to the next piece does not hold up other streams.
            let place = self.lists.streams.clone().acquire_owned().await;
            let _place = place.map_err(|_| stopping())?;
            if self.watcher.is_draining() {
                return Err(stopping());
            }
            let piece = match &self.stage {
                ListStage::Begin => {
                    let participant = &self.watcher.participant;
                    let end = (self.lists).read(participant, |store| store.journal_end());
                    let end = end.await?;
                    (self.shown, self.read) = (end, end);
                    self.stage = ListStage::Pages(None);
                    let id = self.id(&self.stage, end);
                    text.push_str(&list_text::begin(&id));
                    continue;
                }
                ListStage::Pages(after) => {
                    let after = after.clone();
                    self.page(list, after, &mut text).await?
                }
                ListStage::Changes => self.changes(list, &mut text).await?,
            };
            match piece {
                Step::Swapped => return Ok(Piece::Swapped),
                _ if !text.is_empty() => {
                    self.told = Some(self.shown);
                    return Ok(Piece::Events(text));
                }
                Step::More => {}
                Step::End => return Ok(Piece::Nothing),
            }
        }
    }

    /// Adds the items of the next page, which begins after this key.
    async fn page(
        &mut self,
        list: &List<'_>,
        after: Option<String>,
        text: &mut String,
    ) -> Result<Step, Problem> {
        let participant = &self.watcher.participant;
        let active = &list.serving.active;
        let wanted = Wanted {
            participant: participant.row(),
            filters: list.filters.clone(),
            after,
            most: AT_ONCE,
        };
        let page = self.lists.keys(participant, active, list.route, wanted);
        let page = page.await?;
        let Some(items) = self.items(list, &page.keys).await? else {
            return Ok(Step::Swapped);
        };
        let base_path = &self.request.base_path;
        for (key, item) in page.keys.iter().zip(items) {
            let id = self.id(&ListStage::Pages(Some(key.clone())), self.shown);
            match item {
                Item::Shown(item) => text.push_str(&list_text::item(&id, key, &item)),
                Item::Fault(problem) => {
                    text.push_str(&list_text::fault(&id, key, &problem.json(base_path)))
                }
                Item::LeftOut | Item::Swapped => {}
            }
        }
        self.stage = match page.next {
            Some(next) => ListStage::Pages(Some(next)),
            None => {
                let id = self.id(&ListStage::Changes, self.shown);
                text.push_str(&list_text::listed(&id));
                ListStage::Changes
            }
        };
        Ok(Step::More)
    }

    /// Adds the next aggregates that changed.
    async fn changes(&mut self, list: &List<'_>, text: &mut String) -> Result<Step, Problem> {
        if self.changed.is_empty() {
            let Some(is_all) = self.read_changes(list).await? else {
                self.begin_again();
                return Ok(Step::More);
            };
            if self.changed.is_empty() {
                self.shown = self.read;
                return Ok(if is_all { Step::End } else { Step::More });
            }
        }
        let some: Vec<_> = self.changed.iter().take(AT_ONCE).cloned().collect();
        let keys: Vec<_> = (some.iter().filter(|one| one.is_in))
            .map(|one| one.key.clone())
            .collect();
        let Some(items) = self.items(list, &keys).await? else {
            return Ok(Step::Swapped);
        };
        let mut items = items.into_iter();
        for one in some {
            self.changed.pop_front();
            self.shown = match self.changed.is_empty() {
                true => self.read,
                false => one.position,
            };
            let id = self.id(&ListStage::Changes, self.shown);
            let item = one.is_in.then(|| items.next()).flatten();
            text.push_str(&match item {
                Some(Item::Shown(item)) => list_text::item(&id, &one.key, &item),
                Some(Item::Fault(problem)) => {
                    list_text::fault(&id, &one.key, &problem.json(&self.request.base_path))
                }
                _ if one.was_in => list_text::gone(&id, &one.key),
                _ => continue,
            });
        }
        Ok(Step::More)
    }

    /// Reads the changes after the last ones; true if there are no further ones, `None` if the
    /// journal does not have that place.
    async fn read_changes(&mut self, list: &List<'_>) -> Result<Option<bool>, Problem> {
        let participant = &self.watcher.participant;
        let wanted = ChangesWanted {
            participant: participant.row(),
            filters: list.filters.clone(),
            after: self.read,
        };
        let read = (self.lists).read(participant, move |store| store.list_changes(&wanted));
        let Some(changes) = read.await? else {
            return Ok(None);
        };
        self.read = changes.read;
        self.changed = changes.changed.into();
        Ok(Some(changes.is_all))
    }

    /// Shows these aggregates; `None` if the rules were swapped.
    async fn items(&self, list: &List<'_>, keys: &[String]) -> Result<Option<Vec<Item>>, Problem> {
        let participant = &self.watcher.participant;
        let (active, caller) = (&list.serving.active, &self.request.caller);
        let rules = (participant, active, list.route);
        let items = show(rules, caller, &list.filters, keys).await?;
        let is_swapped = items.iter().any(|item| matches!(item, Item::Swapped));
        Ok((!is_swapped).then_some(items))
    }

    fn id(&self, stage: &ListStage, journal: JournalPosition) -> String {
        ListPlace::id(self.check, stage, journal)
    }
}

/// The result of a step towards a piece.
enum Step {
    More,
    End,
    Swapped,
}
