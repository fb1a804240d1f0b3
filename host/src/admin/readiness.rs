//! Readiness of the host, and the report for the operator.
//!
//! A host is ready if it takes and keeps requests and reads its records. An unreachable broker does
//! not make it unready (what is to be published waits in the outbox), nor does a refused component
//! (the active generation goes on), nor does an alarm of the audit, nor do sources that don't build while
//! an author develops them.
//! It is unready if the store can't be read or takes no commits; if the machine is out of memory,
//! threads or descriptors; if a partition is not read until an operator acts; if the keys that check
//! callers' tokens were never loaded; if it can't take over rules that another host has activated; if the oldest message of a stage waits beyond its bound; and
//! during the drain.
//!
//! Must not know: transports, the store. Their conditions come as text.

use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::rollout::audit::AuditOverview;
use crate::rollout::report::{
    ComponentFile, DeadLetterOverview, NotApplied, Overview, ParticipantOverview, RefusedOverview,
};

/// Returns the present problem, if there is one.
pub type ConditionCheck = Box<dyn Fn() -> Option<String> + Send + Sync>;

/// Sources of the readiness of a host.
pub struct Readiness {
    /// The reason why the store takes no commits.
    pub store: ConditionCheck,
    /// The resource that the machine is out of.
    pub lack: ConditionCheck,
    /// The reason why records don't flow.
    pub trouble: ConditionCheck,
    /// The reason why the rules that are active in the store can't be taken over.
    pub rules: ConditionCheck,
    /// The reason why no caller can be recognized.
    pub callers: ConditionCheck,
    /// The records that are not read until an operator acts.
    pub halted: ConditionCheck,
    /// The stages that stand still.
    pub standing: ConditionCheck,
    /// The reason why the sources that are developed are not what runs (`saga dev`).
    pub build: ConditionCheck,
    /// Cancelled when the drain begins.
    pub draining: CancellationToken,
}

/// State of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Takes requests.
    Ready,
    /// Takes and keeps requests, but records don't flow, or the sources that are developed are not
    /// what runs.
    Degraded,
    /// Finishes the work in flight and takes no more.
    Draining,
    /// The store can't be read or takes no commits; the machine is out of a resource; records are
    /// not read until an operator acts; the active rules can't be taken over; no caller can be recognized; or a stage stands still.
    Unavailable,
}

/// The readiness report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadinessReport {
    /// The state.
    pub status: Status,
    /// The participants. Empty for unauthenticated clients, which see the state only.
    #[serde(default)]
    pub participants: Vec<ReadyParticipant>,
    /// The reason why records don't flow.
    pub transport: Option<String>,
    /// The reason why the sources that are developed are not what runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<String>,
    /// The reason why requests can't be served.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A participant in the readiness report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReadyParticipant {
    /// Name.
    pub name: String,
    /// Digest of the active generation.
    pub active: String,
    /// The version that it declares.
    pub version: String,
    /// The file that it was configured with.
    pub file: Option<ComponentFile>,
    /// The component that was refused since; `None` if the active generation is newer.
    pub refused: Option<RefusedOverview>,
    /// Aggregates whose states can't be read.
    pub quarantined: u64,
    /// Messages that wait in the store until they can be decided.
    #[serde(default)]
    pub parked: u64,
    /// Timers that are due and could not be decided.
    #[serde(default)]
    pub parked_timers: u64,
    /// Records that could not be decided.
    #[serde(default)]
    pub dead_letters: DeadLetterOverview,
    /// The findings of the audit of its decisions; None without one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<AuditOverview>,
}

impl Status {
    /// The word for it in the report.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Degraded => "degraded",
            Self::Draining => "draining",
            Self::Unavailable => "unavailable",
        }
    }

    /// The HTTP status of `/readyz`, for load balancers.
    #[must_use]
    pub fn http(self) -> StatusCode {
        match self {
            Self::Ready | Self::Degraded => StatusCode::OK,
            Self::Draining | Self::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

impl Readiness {
    /// The state. Cheap, so unauthenticated clients may ask for it.
    #[must_use]
    pub fn status(&self) -> Status {
        if self.draining.is_cancelled() {
            Status::Draining
        } else if self.reason().is_some() {
            Status::Unavailable
        } else if (self.trouble)().is_some() || (self.build)().is_some() {
            Status::Degraded
        } else {
            Status::Ready
        }
    }

    /// The reason why no requests are taken. A shortage of the machine comes first, since it may be
    /// the cause of the store's.
    fn reason(&self) -> Option<String> {
        let lack = (self.lack)().map(|lack| format!("the machine lacks {lack}"));
        lack.or_else(|| (self.store)())
            .or_else(|| {
                (self.halted)().map(|_| {
                    "records are not read until an operator acts; see `transport`".to_owned()
                })
            })
            .or_else(|| (self.rules)())
            .or_else(|| (self.callers)())
            .or_else(|| (self.standing)())
    }

    /// The report, given the generations in the store.
    #[must_use]
    pub fn report(&self, overview: Result<Overview, NotApplied>) -> ReadinessReport {
        let transport = (self.trouble)();
        let (participants, unreadable) = match overview {
            Ok(overview) => (overview.participants.into_iter().map(told).collect(), None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        let status = match self.status() {
            Status::Ready | Status::Degraded if unreadable.is_some() => Status::Unavailable,
            status => status,
        };
        let reason = self.reason().or(unreadable);
        ReadinessReport {
            status,
            participants,
            transport,
            build: (self.build)(),
            reason,
        }
    }
}

fn told(participant: ParticipantOverview) -> ReadyParticipant {
    let active = participant
        .generations
        .into_iter()
        .find(|generation| generation.is_active);
    let (version, since) =
        active.map_or_else(Default::default, |active| (active.version, active.since));
    ReadyParticipant {
        name: participant.name,
        active: participant.active,
        version,
        file: participant.file,
        quarantined: participant.quarantine.count,
        parked: participant.parked.messages,
        parked_timers: participant.parked.timers,
        dead_letters: participant.dead_letters,
        audit: participant.audit,
        refused: participant
            .refused
            .into_iter()
            .find(|refused| refused.time > since),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rollout::report::{
        Check, GenerationOverview, ParkedOverview, QuarantineOverview, Refused, Way,
    };

    fn refused(time: u64) -> RefusedOverview {
        RefusedOverview {
            time,
            way: Way::File,
            refused: Refused {
                component: None,
                allowed_by: Vec::new(),
                gate: None,
                check: Check::World,
                reasons: vec!["no export".into()],
                digest: None,
            },
        }
    }

    fn generation(digest: &str, since: u64, is_active: bool) -> GenerationOverview {
        GenerationOverview {
            digest: digest.into(),
            component: digest.into(),
            settings: None,
            version: format!("of {digest}"),
            state_version: 1,
            is_active,
            since,
            way: Way::Start,
            change: None,
            activations: 1,
            decisions: 0,
            refusals: 0,
            faults: 0,
            is_kept: true,
        }
    }

    fn overview(refused: Vec<RefusedOverview>) -> Overview {
        Overview {
            participants: vec![ParticipantOverview {
                name: "p".into(),
                active: "b".into(),
                file: None,
                generations: vec![generation("a", 300, false), generation("b", 200, true)],
                refused,
                quarantine: QuarantineOverview {
                    count: 2,
                    first: Vec::new(),
                },
                parked: ParkedOverview {
                    messages: 3,
                    timers: 1,
                    ..ParkedOverview::default()
                },
                dead_letters: DeadLetterOverview::default(),
                audit: None,
                stale_seconds: None,
            }],
        }
    }

    fn readiness(trouble: Option<&'static str>) -> Readiness {
        Readiness {
            store: Box::new(|| None),
            lack: Box::new(|| None),
            trouble: Box::new(move || trouble.map(str::to_owned)),
            rules: Box::new(|| None),
            callers: Box::new(|| None),
            halted: Box::new(|| None),
            standing: Box::new(|| None),
            build: Box::new(|| None),
            draining: CancellationToken::new(),
        }
    }

    #[test]
    fn a_broker_out_of_reach_leaves_the_host_ready() {
        let report = readiness(None).report(Ok(overview(Vec::new())));
        assert_eq!(
            (report.status, report.status.http()),
            (Status::Ready, StatusCode::OK)
        );
        let report = readiness(Some("no broker")).report(Ok(overview(Vec::new())));
        assert_eq!(
            (report.status, report.status.http()),
            (Status::Degraded, StatusCode::OK)
        );
        assert_eq!(report.transport.as_deref(), Some("no broker"));
    }

    #[test]
    fn sources_that_do_not_build_leave_the_host_ready() {
        let readiness = Readiness {
            build: Box::new(|| Some("a test fails".into())),
            ..readiness(None)
        };
        let report = readiness.report(Ok(overview(Vec::new())));
        assert_eq!(
            (report.status, report.status.http()),
            (Status::Degraded, StatusCode::OK)
        );
        assert_eq!(report.build.as_deref(), Some("a test fails"));
    }

    #[test]
    fn a_store_that_cannot_be_read_and_the_drain_make_it_unready() {
        let broken = || Err(NotApplied::Failed("no store".into()));
        let readiness = readiness(Some("no broker"));
        let report = readiness.report(broken());
        assert_eq!(report.status, Status::Unavailable);
        assert_eq!(report.reason.as_deref(), Some("no store"));
        readiness.draining.cancel();
        for overview in [broken(), Ok(overview(Vec::new()))] {
            let report = readiness.report(overview);
            assert_eq!(report.status, Status::Draining);
            assert_eq!(report.status.http(), StatusCode::SERVICE_UNAVAILABLE);
        }
    }

    #[test]
    fn causes_of_unreadiness_are_named_before_their_effects() {
        let trouble =
            |text: &'static str| -> ConditionCheck { Box::new(move || Some(text.into())) };
        let lacking = Readiness {
            lack: trouble("memory: none"),
            store: trouble("the store takes no commits"),
            ..readiness(None)
        };
        let damaged = Readiness {
            store: trouble("the store is damaged"),
            ..readiness(None)
        };
        let halted = Readiness {
            halted: trouble("another log"),
            ..readiness(Some("another log"))
        };
        let unknown = Readiness {
            callers: trouble("no keys"),
            ..readiness(None)
        };
        let behind = Readiness {
            rules: trouble("the rules can't be taken over"),
            ..readiness(None)
        };
        let standing = Readiness {
            standing: trouble("stage relay stands still"),
            ..readiness(None)
        };
        for (readiness, expected) in [
            (unknown, "no keys"),
            (behind, "the rules can't be taken over"),
            (standing, "stage relay stands still"),
            (lacking, "the machine lacks memory: none"),
            (damaged, "the store is damaged"),
            (
                halted,
                "records are not read until an operator acts; see `transport`",
            ),
        ] {
            for overview in [
                Ok(overview(Vec::new())),
                Err(NotApplied::Failed("can't be read".into())),
            ] {
                let report = readiness.report(overview);
                assert_eq!(
                    (report.status, report.status.http()),
                    (Status::Unavailable, StatusCode::SERVICE_UNAVAILABLE)
                );
                assert_eq!(report.reason.as_deref(), Some(expected));
            }
        }
    }

    #[test]
    fn a_refused_component_is_told_of_until_a_newer_one_is_active() {
        let told = |refused| {
            let mut report = readiness(None).report(Ok(overview(refused)));
            assert_eq!(report.status, Status::Ready);
            report.participants.remove(0)
        };
        let participant = told(vec![refused(250), refused(201)]);
        assert_eq!(
            (participant.version.as_str(), participant.quarantined),
            ("of b", 2)
        );
        assert_eq!((participant.parked, participant.parked_timers), (3, 1));
        assert_eq!(participant.refused, Some(refused(250)));
        assert_eq!(told(vec![refused(200), refused(100)]).refused, None);
    }
}
