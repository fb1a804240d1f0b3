//! The paths of the admin interface, with their methods.

use hyper::Method;

use saga_core::commit::LetterRequest;

/// The purpose of a path.
pub(super) enum AdminPath<'a> {
    Health,
    Metrics,
    Hosts,
    /// Those of all participants, or of one.
    Generations(Option<&'a str>),
    Swap(&'a str, SwapPath),
    Migration(&'a str),
    Quarantine(&'a str),
    Decisions(&'a str),
    /// The rules that decided, or the component of some of them.
    Rules(&'a str, Option<&'a str>),
    Release(&'a str),
    Letters(LetterPath<'a>),
}

/// A way to swap a participant's rules.
#[derive(Clone, Copy)]
pub(super) enum SwapPath {
    Component,
    Settings,
    Rollback,
}

/// A request about dead letters.
pub(super) enum LetterPath<'a> {
    /// Those of all participants, or of one.
    List(Option<&'a str>),
    Show(&'a str, i64),
    Request(&'a str, i64, LetterRequest),
    Try(&'a str, i64),
}

impl<'a> AdminPath<'a> {
    pub(super) fn at(path: &'a str) -> Option<Self> {
        let parts: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        Some(match parts[..] {
            ["livez" | "readyz"] => Self::Health,
            ["metrics"] => Self::Metrics,
            ["hosts"] => Self::Hosts,
            ["generations"] => Self::Generations(None),
            ["dead-letters"] => Self::Letters(LetterPath::List(None)),
            ["participants", "", ..] => return None,
            ["participants", name, "generations"] => Self::Generations(Some(name)),
            ["participants", name, "component"] => Self::Swap(name, SwapPath::Component),
            ["participants", name, "settings"] => Self::Swap(name, SwapPath::Settings),
            ["participants", name, "rollback"] => Self::Swap(name, SwapPath::Rollback),
            ["participants", name, "migration"] => Self::Migration(name),
            ["participants", name, "quarantine"] => Self::Quarantine(name),
            ["participants", name, "quarantine", "release"] => Self::Release(name),
            ["participants", name, "decisions"] => Self::Decisions(name),
            ["participants", name, "rules"] => Self::Rules(name, None),
            ["participants", name, "rules", digest] => Self::Rules(name, Some(digest)),
            ["participants", name, "dead-letters", ref rest @ ..] => {
                Self::Letters(LetterPath::of(name, rest)?)
            }
            _ => return None,
        })
    }

    pub(super) fn method(&self) -> Method {
        match self {
            Self::Health
            | Self::Metrics
            | Self::Hosts
            | Self::Generations(_)
            | Self::Quarantine(_)
            | Self::Decisions(_)
            | Self::Rules(..)
            | Self::Letters(LetterPath::List(_) | LetterPath::Show(..)) => Method::GET,
            Self::Swap(_, SwapPath::Component) => Method::PUT,
            Self::Swap(_, SwapPath::Settings) => Method::PATCH,
            Self::Swap(_, SwapPath::Rollback)
            | Self::Migration(_)
            | Self::Release(_)
            | Self::Letters(LetterPath::Try(..) | LetterPath::Request(..)) => Method::POST,
        }
    }

    /// True if its requests have a body.
    pub(super) fn has_body(&self) -> bool {
        self.method() != Method::GET && !matches!(self, Self::Migration(_))
    }
}

impl<'a> LetterPath<'a> {
    /// `rest` follows `participants/NAME/dead-letters`, as `12/redrive`.
    fn of(name: &'a str, rest: &[&str]) -> Option<Self> {
        let (id, what) = match *rest {
            [] => return Some(Self::List(Some(name))),
            [id] => (id, None),
            [id, what] => (id, Some(what)),
            _ => return None,
        };
        let id = id.parse().ok()?;
        Some(match what {
            None => Self::Show(name, id),
            Some("trial") => Self::Try(name, id),
            Some("redrive") => Self::Request(name, id, LetterRequest::Redrive),
            Some("discard") => Self::Request(name, id, LetterRequest::Discard),
            Some(_) => return None,
        })
    }
}
