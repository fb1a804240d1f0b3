//! [`Command`]: something a client may ask, and the function that decides on it.
//!
//! Owns what every command of a kind has in common, so that authors need not write it: a read or a
//! change of an aggregate that does not exist is refused with [`NOT_FOUND`], making one that exists
//! with [`ALREADY_EXISTS`]. Knows nothing of HTTP beyond method and path.

use crate::bindings::saga::participant::types as wit;
use crate::codec;
use crate::decision::{Decision, IntoDecision, IntoReply, Refusal, Undecided};
use crate::key::Key;
use crate::refusal::RefusalType;
use crate::router::{Handler, TurnVerdict, body, state};
use crate::schema;
use crate::turn::{Offer, Turn};
use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::any::TypeId;
use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};

pub use wit::Method;

/// The refusal where a command is for an aggregate that does not exist.
pub const NOT_FOUND: RefusalType =
    RefusalType::not_found("not-found", "There is nothing of this key.");

/// The refusal where a command would make an aggregate that exists.
pub const ALREADY_EXISTS: RefusalType =
    RefusalType::conflict("already-exists", "There is one of this key already.");

/// A command of a participant with state `S` and keys of type `K`. Built by one of [`create`](Self::create),
/// [`change`](Self::change), [`upsert`](Self::upsert), [`read`](Self::read) and given to
/// [`Contract::command`](crate::Contract::command).
///
/// The key of the aggregate is the only parameter in the path, unless
/// [`key_parameter`](Self::key_parameter) or [`key_in_body`](Self::key_in_body) says otherwise; a
/// `create` without either gets the next number from the host.
pub struct Command<S, K = String> {
    /// The description without its schemas, which are generated on demand.
    description: wit::Command,
    request: Option<schema::Source>,
    reply: schema::Source,
    handler: Handler,
    /// True for states whose read is pending; `None` for never. The read's handler uses it.
    pending: Pending<S>,
    key: PhantomData<fn() -> K>,
}

/// Returns true for states on which the saga has yet to decide.
type Pending<S> = Arc<OnceLock<Box<dyn Fn(&S) -> bool + Send + Sync>>>;

impl<S: Serialize + DeserializeOwned + 'static, K: Key> Command<S, K> {
    /// A command that makes a new aggregate. Where the aggregate exists already, which only a key
    /// out of the request can bring about, the SDK refuses it with [`ALREADY_EXISTS`].
    pub fn create<B, D>(
        name: &str,
        method: Method,
        path: &str,
        handler: impl Fn(B, &Turn<K>) -> D + Send + Sync + 'static,
    ) -> Self
    where
        B: DeserializeOwned + JsonSchema + 'static,
        D: IntoDecision<State = S>,
        D::Reply: Serialize + JsonSchema,
    {
        let kind = wit::CommandKind::Create(None);
        Self::build::<B, D::Reply>(name, method, path, kind, move |present, offer| {
            if present.is_some() {
                let key = &offer.message.key;
                let detail = format!("{key:?} exists already: choose another");
                return refused(Refusal::new(ALREADY_EXISTS, detail));
            }
            decide::<B, D, K>(offer, |body, turn| handler(body, turn))
        })
    }

    /// A command that may change an aggregate that exists. Where there is none, the SDK refuses it
    /// with [`NOT_FOUND`]. A command without a body takes `()`.
    pub fn change<B, D>(
        name: &str,
        method: Method,
        path: &str,
        handler: impl Fn(S, B, &Turn<K>) -> D + Send + Sync + 'static,
    ) -> Self
    where
        B: DeserializeOwned + JsonSchema + 'static,
        D: IntoDecision<State = S>,
        D::Reply: Serialize + JsonSchema,
    {
        let kind = wit::CommandKind::Change;
        Self::build::<B, D::Reply>(name, method, path, kind, move |present, offer| match state(
            present,
        ) {
            None => not_found(&offer.message.key),
            Some(state) => decide::<B, D, K>(offer, |body, turn| handler(state, body, turn)),
        })
        .refuses(NOT_FOUND)
    }

    /// A command that makes an aggregate or changes the one that exists.
    pub fn upsert<B, D>(
        name: &str,
        method: Method,
        path: &str,
        handler: impl Fn(Option<S>, B, &Turn<K>) -> D + Send + Sync + 'static,
    ) -> Self
    where
        B: DeserializeOwned + JsonSchema + 'static,
        D: IntoDecision<State = S>,
        D::Reply: Serialize + JsonSchema,
    {
        let kind = wit::CommandKind::Change;
        Self::build::<B, D::Reply>(name, method, path, kind, move |present, offer| {
            let state = state(present);
            decide::<B, D, K>(offer, |body, turn| handler(state, body, turn))
        })
    }

    /// A GET that answers from the aggregate's state. Where there is none, the SDK refuses it with
    /// [`NOT_FOUND`]. The handler gives the reply, or a `Result` of it with
    /// [`Undecided`](crate::Undecided) as its error.
    pub fn read<R, M>(
        name: &str,
        path: &str,
        handler: impl Fn(&S, &Turn<K>) -> R + Send + Sync + 'static,
    ) -> Self
    where
        R: IntoReply<M>,
        R::Reply: JsonSchema,
    {
        let kind = wit::CommandKind::Read;
        let pending = Pending::<S>::default();
        let is_pending = pending.clone();
        let read =
            Self::build::<(), R::Reply>(name, Method::Get, path, kind, move |present, offer| {
                match state::<S>(present) {
                    None => not_found(&offer.message.key),
                    Some(state) => {
                        let (turn, _) = Turn::split(offer)?;
                        let reply = handler(&state, &turn).into_reply();
                        let reply = reply.map_err(Undecided::into_wit)?;
                        let decision = Decision::<S>::unchanged();
                        match is_pending.get() {
                            Some(is_pending) if is_pending(&state) => decision.pending(reply),
                            _ => decision.reply(reply),
                        }
                        .into_verdict()
                    }
                }
            });
        Self { pending, ..read }.refuses(NOT_FOUND)
    }

    /// Declares the states on which the saga has yet to decide. A read then answers `pending`, and
    /// clients that wait for the decision (`Prefer: wait`, server-sent events) wait until it does
    /// not; a GET still gets 200. Only for a [`read`](Self::read); other commands use
    /// [`Decision::pending`](crate::Decision::pending). Of several calls, the first counts.
    #[must_use]
    pub fn pending_while(self, is_pending: impl Fn(&S) -> bool + Send + Sync + 'static) -> Self {
        // The first call counts.
        let _ = self.pending.set(Box::new(is_pending));
        self
    }

    /// One sentence for the API document. Every command needs one.
    #[must_use]
    pub fn summary(mut self, summary: &str) -> Self {
        self.description.summary = summary.to_owned();
        self
    }

    /// Declares a refusal that the handler may answer.
    #[must_use]
    pub fn refuses(mut self, refusal: RefusalType) -> Self {
        self.description.refusals.push(refusal.describe());
        self
    }

    /// Declares a permission that the caller needs, for example `orders:cancel`. The host answers 403 to
    /// a caller who lacks one, if the operator has it authenticate callers (`[http.auth]`); without
    /// that, everybody may send the command.
    #[must_use]
    pub fn requires(mut self, permission: &str) -> Self {
        self.description.requires.push(permission.to_owned());
        self
    }

    /// Declares the path at which a created aggregate can be read, with one parameter, the key.
    #[must_use]
    pub fn readable_at(mut self, path: &str) -> Self {
        if let wit::CommandKind::Create(readable) = &mut self.description.kind {
            *readable = Some(path.to_owned());
        }
        self
    }

    /// Takes the key from this parameter, where the path has several.
    #[must_use]
    pub fn key_parameter(mut self, name: &str) -> Self {
        self.description.key = wit::KeySource::PathParameter(name.to_owned());
        self
    }

    /// Takes the key from the string or whole number at this JSON pointer in the request's body.
    #[must_use]
    pub fn key_in_body(mut self, pointer: &str) -> Self {
        self.description.key = wit::KeySource::Body(pointer.to_owned());
        if matches!(self.description.kind, wit::CommandKind::Create(_)) {
            return self.refuses(ALREADY_EXISTS);
        }
        self
    }

    pub(crate) fn describe(&self) -> wit::Command {
        wit::Command {
            request: self.request.map(|schema| schema()),
            reply: (self.reply)(),
            ..self.description.clone()
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.description.name
    }

    /// Mistakes that its description does not show.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn problem(&self) -> Option<String> {
        let is_read = self.description.kind == wit::CommandKind::Read;
        (!is_read && self.pending.get().is_some()).then(|| {
            format!(
                "command {}: is no read, so pending_while means nothing: let its handler answer Decision::pending",
                self.description.name
            )
        })
    }

    pub(crate) fn handler(&self) -> &Handler {
        &self.handler
    }

    fn build<B, R>(
        name: &str,
        method: Method,
        path: &str,
        kind: wit::CommandKind,
        handler: impl Fn(Option<&str>, Offer) -> TurnVerdict + Send + Sync + 'static,
    ) -> Self
    where
        B: JsonSchema + 'static,
        R: JsonSchema,
    {
        Self {
            description: wit::Command {
                name: name.to_owned(),
                summary: String::new(),
                method,
                path: path.to_owned(),
                key: key_source(&kind, path),
                kind,
                request: None,
                reply: String::new(),
                refusals: Vec::new(),
                requires: Vec::new(),
            },
            request: has_body::<B>().then_some(schema::of_input::<B>),
            reply: schema::of_output::<R>,
            handler: Box::new(handler),
            pending: Pending::default(),
            key: PhantomData,
        }
    }
}

fn has_body<B: 'static>() -> bool {
    TypeId::of::<B>() != TypeId::of::<()>()
}

fn decide<B, D, K>(offer: Offer, handler: impl FnOnce(B, &Turn<K>) -> D) -> TurnVerdict
where
    B: DeserializeOwned + 'static,
    D: IntoDecision,
    K: Key,
{
    let (turn, text) = Turn::split(offer)?;
    // A command without a body ignores one that a client sends.
    let body = body(if has_body::<B>() { &text } else { "null" })?;
    handler(body, &turn).into_decision().into_verdict()
}

fn refused(refusal: Refusal) -> TurnVerdict {
    Decision::<(), ()>::refuse(refusal).into_verdict()
}

#[cold]
fn not_found(key: &str) -> TurnVerdict {
    let detail = format!(
        "There is nothing of the key {}.",
        codec::encode(key, "the key")
    );
    refused(Refusal::new(NOT_FOUND, detail))
}

/// The key's source unless the author names one: a lone path parameter, or the host's number.
fn key_source(kind: &wit::CommandKind, path: &str) -> wit::KeySource {
    match parameters(path).as_slice() {
        [] if matches!(kind, wit::CommandKind::Create(_)) => wit::KeySource::Generated,
        [name] => wit::KeySource::PathParameter((*name).to_owned()),
        // An empty name, which `check` reports.
        _ => wit::KeySource::PathParameter(String::new()),
    }
}

/// Names of the parameters in a path template, in order.
pub(crate) fn parameters(path: &str) -> Vec<&str> {
    path.split('{')
        .skip(1)
        .filter_map(|rest| rest.split_once('}').map(|(name, _)| name))
        .collect()
}
