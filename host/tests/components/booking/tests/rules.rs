//! The booking fixture's rules, given/when/then: what the host's tests may rely on.

use booking::{
    AddRoom, Booking, HOLD_EXPIRED, HOLD_EXPIRES, HOLD_PLACED, Held, Hold, HoldPlaced, HoldRoom,
    Inspection, ROOM_BOOKED, ROOM_CLEANED, ROOM_CLOSED, ROOM_INSPECTED, Room, RoomBooked, RoomCode,
    Status,
};
use saga_sdk::testing::{given, given_nothing};
use saga_sdk::{ALREADY_EXISTS, NOT_FOUND};

fn room(status: Status) -> Room {
    Room {
        seats: 8,
        status,
        cleanings: 0,
        last_inspector: None,
    }
}

fn ann() -> Hold {
    Hold {
        by: "Ann".to_owned(),
    }
}

fn code() -> RoomCode {
    RoomCode {
        code: "b12".to_owned(),
    }
}

fn hold() -> HoldRoom {
    HoldRoom {
        by: "Ann".to_owned(),
        ttl_millis: 500,
    }
}

#[test]
fn a_room_is_added_under_its_code_once() {
    let request = AddRoom {
        code: "b12".to_owned(),
        seats: 8,
    };
    given_nothing::<Booking>()
        .when_command("add-room", &request)
        .state(&room(Status::Free))
        .replied(&room(Status::Free))
        .and_then()
        .when_command("add-room", &request)
        .refused(ALREADY_EXISTS);
}

#[test]
fn a_hold_sets_a_timer_and_a_confirmation_cancels_it() {
    given::<Booking>(room(Status::Free))
        .key("b12")
        .time(1_000)
        .when_command("hold-room", &hold())
        .state(&room(Status::Held(ann())))
        .published(
            HOLD_PLACED,
            "b12",
            &HoldPlaced {
                code: "b12".to_owned(),
                by: "Ann".to_owned(),
                until: 1_500,
            },
        )
        .timer_set(HOLD_EXPIRES, 1_500, &ann())
        .replied_pending(&Held { until: 1_500 })
        .and_then()
        .when_command("confirm-hold", &())
        .state(&room(Status::Booked(ann())))
        .timer_cancelled(HOLD_EXPIRES)
        .published(
            ROOM_BOOKED,
            "b12",
            &RoomBooked {
                code: "b12".to_owned(),
                by: "Ann".to_owned(),
            },
        )
        .replied(&room(Status::Booked(ann())));
}

#[test]
fn a_room_that_is_taken_is_not_held_and_a_free_one_not_confirmed() {
    given::<Booking>(room(Status::Held(ann())))
        .when_command("hold-room", &hold())
        .refused(booking::TAKEN);
    given::<Booking>(room(Status::Free))
        .when_command("confirm-hold", &())
        .refused(booking::NOT_HELD);
    given_nothing::<Booking>()
        .when_command("hold-room", &hold())
        .refused(NOT_FOUND);
}

#[test]
fn a_hold_that_runs_out_frees_the_room() {
    given::<Booking>(room(Status::Held(ann())))
        .key("b12")
        .when_timer(HOLD_EXPIRES, &ann())
        .state(&room(Status::Free))
        .published(HOLD_EXPIRED, "b12", &code())
        .published_no_more();
}

#[test]
fn a_timer_that_comes_too_late_changes_nothing() {
    given::<Booking>(room(Status::Booked(ann())))
        .when_timer(HOLD_EXPIRES, &ann())
        .unchanged()
        .published_no_more();
    given_nothing::<Booking>()
        .when_timer(HOLD_EXPIRES, &ann())
        .unchanged()
        .published_no_more();
}

#[test]
fn a_closed_room_is_gone() {
    given::<Booking>(room(Status::Free))
        .key("b12")
        .when_command("close-room", &())
        .removed()
        .published(ROOM_CLOSED, "b12", &code())
        .replied(&code())
        .and_then()
        .when_command("get-room", &())
        .refused(NOT_FOUND);
}

#[test]
fn events_of_two_types_arrive_on_one_topic() {
    let inspection = |later| Inspection {
        code: "b12".to_owned(),
        inspector: "Bob".to_owned(),
        later,
    };
    let cleaned = Room {
        cleanings: 1,
        ..room(Status::Free)
    };
    given::<Booking>(room(Status::Free))
        .when_event(ROOM_CLEANED, &code())
        .state(&cleaned)
        .and_then()
        .when_event(ROOM_INSPECTED, &inspection(true))
        .retried_later("not out yet")
        .and_then()
        .when_event(ROOM_INSPECTED, &inspection(false))
        .state(&Room {
            last_inspector: Some("Bob".to_owned()),
            ..cleaned
        });
    given_nothing::<Booking>()
        .when_event(ROOM_CLEANED, &code())
        .malformed("no room");
}
