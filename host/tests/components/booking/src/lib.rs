//! Meeting rooms: a participant of another domain, for the tests of the host.
//!
//! Proves that the host knows no customer and no order, and uses what those two leave out: keys from
//! the body and from a path parameter, a change, a removal, a timer that is set, cancelled or runs
//! out, several event types on one topic, typed and untyped, and retry-later.
//!
//! | command | route | effect |
//! |---|---|---|
//! | `add-room` | `PUT /rooms` | makes room `code`, free |
//! | `hold-room` | `POST /rooms/{code}/hold` | pending; holds it for `ttlMillis`, publishes `hold-placed` |
//! | `confirm-hold` | `POST /rooms/{code}/confirm` | cancels the timer, publishes `room-booked` |
//! | `get-room` | `GET /rooms/{code}` | the room |
//! | `list-rooms` | `GET /rooms?heldBy=…&inspector=…&seats=…` | the rooms |
//! | `close-room` | `DELETE /rooms/{code}` | removes it, publishes `room-closed` |
//!
//! | event on `roomEvents` | effect |
//! |---|---|
//! | `room-cleaned` (also untyped) | counts a cleaning; malformed for an unknown room |
//! | `room-inspected` | notes it; retry-later for as long as `later` is true |
//!
//! The timer `hold-expires` frees the room and publishes `hold-expired`.

use saga_sdk::{Command, Contract, Decision, EventType, Method, Participant, Refusal, RefusalType};
use saga_sdk::{Listing, Subscription, Timer, Turn};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A room was put on hold.
pub const HOLD_PLACED: EventType<HoldPlaced> = EventType::new("hold-placed", "bookings");

/// A hold ran out before anyone confirmed it.
pub const HOLD_EXPIRED: EventType<RoomCode> = EventType::new("hold-expired", "bookings");

/// A hold was confirmed.
pub const ROOM_BOOKED: EventType<RoomBooked> = EventType::new("room-booked", "bookings");

/// A room was closed.
pub const ROOM_CLOSED: EventType<RoomCode> = EventType::new("room-closed", "bookings");

/// A room was cleaned.
pub const ROOM_CLEANED: EventType<RoomCode> = EventType::new("room-cleaned", "roomEvents");

/// A room was inspected.
pub const ROOM_INSPECTED: EventType<Inspection> = EventType::new("room-inspected", "roomEvents");

/// Runs out where a hold is not confirmed in time.
pub const HOLD_EXPIRES: Timer<Hold> = Timer::new("hold-expires");

/// Only a free room can be held.
pub const TAKEN: RefusalType = RefusalType::conflict("taken", "The room is not free.");

/// Only a room on hold can be booked.
pub const NOT_HELD: RefusalType = RefusalType::conflict("not-held", "The room is not on hold.");

/// The participant.
pub struct Booking;

impl Participant for Booking {
    type State = Room;
    type Key = String;

    fn contract() -> Contract<Room> {
        Contract::new("booking", env!("CARGO_PKG_VERSION"), "Books meeting rooms.")
            .endpoint("/office/booking", 0)
            .command(
                Command::create("add-room", Method::Put, "/rooms", add)
                    .summary("Adds a room.")
                    .key_in_body("/code")
                    .readable_at("/rooms/{code}"),
            )
            .command(
                Command::change("hold-room", Method::Post, "/rooms/{code}/hold", hold)
                    .summary("Holds a free room for a while.")
                    .refuses(TAKEN),
            )
            .command(
                Command::change(
                    "confirm-hold",
                    Method::Post,
                    "/rooms/{code}/confirm",
                    confirm,
                )
                .summary("Books the room that is on hold.")
                .refuses(NOT_HELD),
            )
            .command(Command::read("get-room", "/rooms/{code}", room).summary("Tells of a room."))
            .command(
                Command::change("close-room", Method::Delete, "/rooms/{code}", close)
                    .summary("Closes a room for good."),
            )
            .listing(
                Listing::of("list-rooms", "/rooms", "get-room")
                    .summary("Lists the rooms.")
                    .filter_as::<String>("heldBy", "/status/held/by")
                    .filter("inspector", "/lastInspector")
                    .filter("seats", "/seats"),
            )
            .on(Subscription::to(ROOM_CLEANED, "booking", "/code", cleaned).untyped())
            .on(Subscription::to(
                ROOM_INSPECTED,
                "booking",
                "/code",
                inspected,
            ))
            .publishes(HOLD_PLACED)
            .publishes(HOLD_EXPIRED)
            .publishes(ROOM_BOOKED)
            .publishes(ROOM_CLOSED)
            .timer(HOLD_EXPIRES, expire)
    }
}

saga_sdk::export!(Booking);

fn add(request: AddRoom, _: &Turn) -> Decision<Room, Room> {
    let room = Room {
        seats: request.seats,
        status: Status::Free,
        cleanings: 0,
        last_inspector: None,
    };
    Decision::put(room.clone()).reply(room)
}

fn hold(room: Room, request: HoldRoom, turn: &Turn) -> Result<Decision<Room, Held>, Refusal> {
    if room.status != Status::Free {
        return Err(Refusal::new(TAKEN, "The room is not free: take another.").at("/by"));
    }
    let until = turn.time().saturating_add(request.ttl_millis);
    let hold = Hold { by: request.by };
    let placed = HoldPlaced {
        code: turn.key().to_owned(),
        by: hold.by.clone(),
        until,
    };
    let status = Status::Held(hold.clone());
    Ok(Decision::put(Room { status, ..room })
        .publish(HOLD_PLACED, turn.key(), &placed)
        .set_timer(HOLD_EXPIRES, until, &hold)
        .pending(Held { until }))
}

fn confirm(room: Room, _: (), turn: &Turn) -> Result<Decision<Room, Room>, Refusal> {
    let Status::Held(hold) = room.status else {
        return Err(Refusal::new(
            NOT_HELD,
            "The room is not on hold: hold it first.",
        ));
    };
    let booked = RoomBooked {
        code: turn.key().to_owned(),
        by: hold.by.clone(),
    };
    let room = Room {
        status: Status::Booked(hold),
        ..room
    };
    Ok(Decision::put(room.clone())
        .cancel_timer(HOLD_EXPIRES)
        .publish(ROOM_BOOKED, turn.key(), &booked)
        .reply(room))
}

fn room(room: &Room, _: &Turn) -> Room {
    room.clone()
}

fn close(_: Room, (): (), turn: &Turn) -> Decision<Room, RoomCode> {
    let code = RoomCode {
        code: turn.key().to_owned(),
    };
    Decision::remove()
        .cancel_timer(HOLD_EXPIRES)
        .publish(ROOM_CLOSED, turn.key(), &code)
        .reply(code)
}

fn expire(room: Room, hold: Hold, turn: &Turn) -> Decision<Room> {
    if room.status != Status::Held(hold) {
        return Decision::unchanged();
    }
    let code = RoomCode {
        code: turn.key().to_owned(),
    };
    let status = Status::Free;
    Decision::put(Room { status, ..room }).publish(HOLD_EXPIRED, turn.key(), &code)
}

fn cleaned(room: Option<Room>, event: RoomCode, _: &Turn) -> Decision<Room> {
    match room {
        None => Decision::malformed(format!("there is no room {:?} to clean", event.code)),
        Some(room) => {
            let cleanings = room.cleanings.saturating_add(1);
            Decision::put(Room { cleanings, ..room })
        }
    }
}

fn inspected(room: Option<Room>, event: Inspection, _: &Turn) -> Decision<Room> {
    if event.later {
        return Decision::retry_later("the inspection's report is not out yet");
    }
    match room {
        None => Decision::unchanged(),
        Some(room) => Decision::put(Room {
            last_inspector: Some(event.inspector),
            ..room
        }),
    }
}

/// A meeting room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Room {
    /// How many people it seats.
    pub seats: u32,
    /// Whether it can be had.
    pub status: Status,
    /// How often it was cleaned.
    pub cleanings: u64,
    /// Who inspected it last.
    pub last_inspector: Option<String>,
}

/// Whether a room can be had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Status {
    /// Anyone may hold it.
    Free,
    /// Someone holds it for a while.
    Held(Hold),
    /// Someone has booked it.
    Booked(Hold),
}

/// Who holds a room; the body of the timer too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Hold {
    /// Who.
    pub by: String,
}

/// Body of `PUT /rooms`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AddRoom {
    /// Code of the room, which is its key.
    #[schemars(length(min = 1, max = 40))]
    pub code: String,
    /// How many people it seats.
    #[schemars(range(min = 1))]
    pub seats: u32,
}

/// Body of `POST /rooms/{code}/hold`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HoldRoom {
    /// Who wants it.
    pub by: String,
    /// For how long, in milliseconds.
    pub ttl_millis: u64,
}

/// Answer to `POST /rooms/{code}/hold`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Held {
    /// When the hold runs out, in milliseconds since 1970-01-01T00:00:00Z.
    pub until: u64,
}

/// Body of `hold-placed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HoldPlaced {
    /// Code of the room.
    pub code: String,
    /// Who holds it.
    pub by: String,
    /// When the hold runs out, in milliseconds since 1970-01-01T00:00:00Z.
    pub until: u64,
}

/// Body of `room-booked`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RoomBooked {
    /// Code of the room.
    pub code: String,
    /// Who booked it.
    pub by: String,
}

/// A room, by its code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RoomCode {
    /// Code of the room.
    pub code: String,
}

/// Body of `room-inspected`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Inspection {
    /// Code of the room.
    pub code: String,
    /// Who inspected it.
    pub inspector: String,
    /// Whether the participant is to ask for the event again later.
    #[serde(default)]
    pub later: bool,
}
