use super::*;
use axum::body::to_bytes;

#[tokio::test(start_paused = true)]
async fn whoever_leaves_much_unread_gets_no_more_and_leaves_room_to_others() {
    let unread = Unread::default();
    let (ann, bob) = (Identity::numbered(1, 1), Identity::numbered(2, 2));
    let mut waiting = Vec::new();
    for _ in 0..4 {
        let room = unread.room(&ann).await.unwrap();
        room.grow(8 << 20).unwrap();
        waiting.push(Arc::new(room).body("x".repeat(8 << 20)));
    }
    assert!(unread.room(&ann).await.is_err());
    assert!(unread.room(&bob).await.unwrap().grow(16 << 20).is_ok());
    // Whatever piece of it somebody still has.
    let answer = to_bytes(waiting.pop().unwrap(), usize::MAX).await.unwrap();
    let rest = answer.slice(answer.len() - 1..);
    drop(answer);
    assert!(unread.room(&ann).await.is_err());
    drop(rest);
    assert!(unread.room(&ann).await.is_ok());
}

#[tokio::test]
async fn an_answer_arrives_whole_and_gives_its_room_back() {
    let unread = Unread::default();
    for size in [0, 1, PER_SHARE, PER_SHARE + 1, 40 << 20] {
        let answer = "x".repeat(size);
        let room = Arc::new(unread.room(&Identity::numbered(1, 1)).await.unwrap());
        room.grow(size).unwrap();
        assert_eq!(to_bytes(room.body(answer), usize::MAX).await.unwrap().len(), size);
        assert!(unread.0.is_unused(), "{size}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_may_be_as_large_as_a_share_and_a_single_row_of_any_size() {
    let unread = Unread::default();
    let ann = Identity::numbered(1, 1);
    let at_socket = || unread.room_at(&ann, Unsent::default());
    let (room, turns) = (at_socket(), Turns::new(4));
    drop(room.turn(&turns, 1).await.unwrap());
    assert!(room.charge(Size::of(16 << 20)).is_ok() && room.charge(Size::of(16 << 20)).is_ok());
    assert_eq!(room.charge(Size::of(1)).unwrap_err().code, Code::PayloadTooLarge);
    assert_eq!(room.turn(&turns, 1).await.err(), room.refusal());
    assert_eq!(at_socket().charge(Size::of(1)).unwrap_err().code, Code::RateLimited);
    room.hold(1 << 20);
    drop(room);
    assert!(unread.0.is_unused());
    assert!(at_socket().charge(Size::of(200 << 20)).is_ok());
    let often = Size { rows: 16 << 20, answer: 33 << 20 };
    assert_eq!(at_socket().charge(often).unwrap_err().code, Code::PayloadTooLarge);
}

#[tokio::test]
async fn a_change_is_not_begun_behind_a_whole_answer_or_without_any_room() {
    let unread = Unread::default();
    let ann = Identity::numbered(1, 1);
    let room = unread.room_at(&ann, Unsent::default());
    for _ in 0..4 {
        room.may_begin().unwrap();
        room.hold(MOST / 4);
    }
    room.may_begin().unwrap();
    room.hold(1);
    assert_eq!(room.may_begin().unwrap_err().code, Code::PayloadTooLarge);
    let late = unread.room_at(&ann, Unsent::default());
    assert_eq!(late.may_begin().unwrap_err().code, Code::RateLimited);
    drop(room);
    assert!(late.may_begin().is_ok());
}

#[tokio::test(start_paused = true)]
async fn an_event_has_room_while_it_is_sent_or_is_told_later() {
    let unread = Unread::default();
    let ann = Identity::numbered(1, 1);
    let sockets = [0, 1].map(|_| unread.room_at(&ann, Unsent::default()));
    let sending = sockets[0].event(Size::of(MOST)).await.unwrap();
    assert_eq!(sockets[1].event(Size::of(SMALL_EVENT + 1)).await.err(), Some(Failure::lagged()));
    let mut small = Vec::new();
    for _ in 0..1_000 {
        small.push(sockets[1].event(Size::of(SMALL_EVENT)).await.unwrap());
    }
    // Many wait for much, and have it one after the other.
    let waiting = futures_util::future::join_all((0..50).map(|_| async {
        drop(sockets[1].event(Size::of(MOST / 2 + 1)).await.unwrap());
    }));
    tokio::join!(waiting, async { drop((sending, small)) });
    let often = Size { rows: MOST, answer: 10 * MOST };
    assert_eq!(sockets[1].event(often).await.err().map(|failure| failure.code), Some(Code::PayloadTooLarge));
    assert!(sockets[1].event(Size::of(10 * MOST)).await.is_ok(), "a single one may have any size");
    assert!(unread.0.is_unused());
}

#[tokio::test(start_paused = true)]
async fn a_socket_with_much_unsent_has_no_turn_until_it_is_sent() {
    let (unread, turns, unsent) = (Unread::default(), Turns::new(4), Unsent::default());
    let ann = Identity::numbered(1, 1);
    let first = unread.room_at(&ann, unsent.clone());
    drop(first.turn(&turns, 1).await.unwrap());
    first.charge(Size::of(16 << 20)).unwrap();
    let next = unread.room_at(&ann, unsent.clone());
    let (turn, ()) = tokio::join!(next.turn(&turns, 1), async {
        // One that waits has taken nothing, and what has begun goes on.
        drop(first.turn(&turns, 1).await.unwrap());
        let elsewhere = unread.room_at(&ann, Unsent::default());
        drop(elsewhere.turn(&turns, 1).await.unwrap());
        drop(first);
    });
    assert!(turn.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_part_that_waits_goes_on_when_another_part_of_its_answer_has_begun() {
    let (unread, turns, unsent) = (Unread::default(), Turns::new(16), Unsent::default());
    let ann = Identity::numbered(1, 1);
    let first = unread.room_at(&ann, unsent.clone());
    let busy = first.turn(&turns, 3 << 20).await.unwrap();
    let second = unread.room_at(&ann, unsent.clone());
    let (large, ()) = tokio::join!(second.turn(&turns, 3 << 20), async {
        tokio::task::yield_now().await;
        drop(second.turn(&turns, 64 << 10).await.unwrap());
        second.charge(Size::of(2 << 20)).unwrap();
        drop((busy, first));
    });
    assert!(large.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_page_has_as_much_room_as_there_is_and_keeps_what_it_needs() {
    let (unread, turns) = (Unread::default(), Turns::new(4));
    let ann = Identity::numbered(1, 1);
    let other = unread.room_at(&ann, Unsent::default());
    other.charge(Size::of(MOST - 3 * PER_SHARE)).unwrap();
    let page = unread.room_at(&ann, Unsent::default()).page();
    assert_eq!(page.reserve(&turns, 4 << 20).await.unwrap().1, 3 * PER_SHARE);
    let late = unread.room_at(&ann, Unsent::default()).page();
    assert_eq!(late.reserve(&turns, 4 << 20).await.err().unwrap().code, Code::RateLimited);
    let (reserved, ()) = tokio::join!(late.reserve(&turns, 4 << 20), async { page.settle(1) });
    assert_eq!(reserved.unwrap().1, 2 * PER_SHARE);
    drop((other, page, late));
    assert!(unread.0.is_unused());
}

#[tokio::test(start_paused = true)]
async fn many_that_wait_for_a_page_have_one_after_the_other() {
    let (unread, turns) = (Unread::default(), Turns::new(1_000));
    let ann = Identity::numbered(1, 1);
    let pages = (0..400).map(|_| async {
        let page = unread.room_at(&ann, Unsent::default()).page();
        let (turn, bytes) = page.reserve(&turns, 4 << 20).await.unwrap();
        assert!(bytes >= PER_SHARE);
        drop(turn);
        tokio::time::sleep(Duration::from_millis(10)).await;
    });
    futures_util::future::join_all(pages).await;
    assert!(unread.0.is_unused());
}
