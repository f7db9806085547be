//! Tasks that follow who wakes them, with runtimes of one thread and of several.

use super::*;

use std::sync::atomic::AtomicUsize;
use std::thread::ThreadId;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::sync::mpsc::{Receiver, channel};

const PATIENCE: Duration = Duration::from_secs(10);

/// Counts its calls.
#[derive(Default)]
struct Called(AtomicUsize);

impl std::task::Wake for Called {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_task_is_called_by_the_waker_it_was_polled_with_last() {
    let wakers = [(); 3].map(|()| Arc::<Called>::default());
    let calls = || wakers.each_ref().map(|waker| waker.0.load(Ordering::Relaxed));
    let task = Task::default();
    task.call();
    for (polled, called) in [(0, [1, 0, 0]), (0, [2, 0, 0]), (1, [2, 1, 0]), (2, [2, 1, 1]), (0, [3, 1, 1])] {
        task.note(&wakers[polled].clone().into());
        task.call();
        assert_eq!(calls(), called);
    }
}

async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future).await.expect("it was not called")
}

/// A task that tells where it runs when it is called, and then calls the next.
fn station(known: bool, call: &Arc<Notify>, next: Option<&Arc<Notify>>) -> Receiver<ThreadId> {
    let (tell, told) = channel(8);
    let (call, next) = (call.clone(), next.cloned());
    let work = async move {
        loop {
            call.notified().await;
            if tell.try_send(std::thread::current().id()).is_err() {
                return;
            }
            next.iter().for_each(|next| next.notify_one());
        }
    };
    tokio::spawn(roaming(work, known));
    told
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_a_loop_wakes_runs_there_and_what_others_wake_in_the_runtime() {
    let [first, second, third] = [(); 3].map(|()| Arc::new(Notify::new()));
    let mut firsts = station(false, &first, Some(&second));
    let mut seconds = station(true, &second, Some(&third));
    let mut thirds = station(false, &third, None);
    // Each has been polled once, so that there is somebody to wake.
    first.notify_one();
    for told in [&mut firsts, &mut seconds, &mut thirds] {
        soon(told.recv()).await.unwrap();
    }
    let event_loop = std::thread::spawn({
        let first = first.clone();
        move || {
            run_after(|| first.notify_one());
            std::thread::current().id()
        }
    })
    .join()
    .unwrap();
    assert_eq!(soon(firsts.recv()).await, Some(event_loop), "it woke this one itself");
    assert_eq!(soon(seconds.recv()).await, Some(event_loop), "which woke one that is known");
    assert_ne!(soon(thirds.recv()).await, Some(event_loop), "which woke a stranger");
    first.notify_one();
    assert_ne!(soon(firsts.recv()).await, Some(event_loop), "somebody else woke it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_thread_without_a_loop_takes_no_turn() {
    let call = Arc::new(Notify::new());
    let mut told = station(true, &call, None);
    call.notify_one();
    soon(told.recv()).await.unwrap();
    let turn = || {
        let turn = Turn::of_loop();
        call.notify_one();
        turn.map(Turn::run).is_some()
    };
    let on_a_loop = || {
        note_loop();
        turn()
    };
    assert!(!std::thread::scope(|scope| scope.spawn(turn).join().unwrap()));
    soon(told.recv()).await.unwrap();
    assert!(std::thread::scope(|scope| scope.spawn(on_a_loop).join().unwrap()));
    soon(told.recv()).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn who_never_stops_is_left_to_the_runtime() {
    let polls = Arc::new(AtomicUsize::new(0));
    let counted = polls.clone();
    let call = Arc::new(Notify::new());
    let work = {
        let call = call.clone();
        async move {
            call.notified().await;
            std::future::poll_fn(|cx| {
                cx.waker().wake_by_ref();
                let done = counted.fetch_add(1, Ordering::Relaxed) >= 2 * MOST_POLLS;
                if done { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        }
    };
    let task = tokio::spawn(roaming(work, true));
    while Arc::strong_count(&call) < 2 {
        tokio::task::yield_now().await;
    }
    std::thread::scope(|scope| {
        scope.spawn(|| run_after(|| call.notify_one()));
    });
    soon(task).await.unwrap();
    assert!(polls.load(Ordering::Relaxed) > MOST_POLLS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_is_lost_although_both_sides_call() {
    const CALLS: usize = 20_000;
    let call = Arc::new(Notify::new());
    let mut told = station(true, &call, None);
    let (turn, turns) = std::sync::mpsc::channel::<()>();
    let event_loop = std::thread::spawn({
        let call = call.clone();
        move || turns.iter().for_each(|()| run_after(|| call.notify_one()))
    });
    for number in 0..CALLS {
        turn.send(()).unwrap();
        call.notify_one();
        let called = tokio::time::timeout(PATIENCE, told.recv()).await;
        assert!(called.is_ok(), "call {number} was lost");
        while told.try_recv().is_ok() {}
    }
    drop(turn);
    event_loop.join().unwrap();
}

#[tokio::test]
async fn in_a_runtime_with_one_thread_what_is_woken_again_comes_behind_what_was_woken_meanwhile() {
    let polled = Arc::new(Mutex::new(Vec::new()));
    let [first, second, other] = [(); 3].map(|()| Arc::new(Notify::new()));
    let station = |name, call: &Arc<Notify>, next: &[&Arc<Notify>]| {
        let (polled, call) = (polled.clone(), call.clone());
        let mut next: Vec<_> = next.iter().copied().cloned().collect();
        async move {
            loop {
                call.notified().await;
                polled.lock().unwrap().push(name);
                next.drain(..).for_each(|next| next.notify_one());
            }
        }
    };
    tokio::spawn(roaming(station("first", &first, &[&second]), true));
    tokio::spawn(roaming(station("second", &second, &[&first, &other]), true));
    tokio::spawn(station("other", &other, &[]));
    tokio::task::yield_now().await;
    first.notify_one();
    soon(async {
        while polled.lock().unwrap().len() < 4 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(*polled.lock().unwrap(), ["first", "second", "other", "first"]);
}

#[tokio::test]
async fn in_a_runtime_with_one_thread_a_long_chain_leaves_others_their_turn() {
    let length = 3 * MOST_POLLS;
    let calls: Vec<_> = (0..=length).map(|_| Arc::new(Notify::new())).collect();
    let polled = Arc::new(AtomicUsize::new(0));
    for (call, next) in calls.iter().zip(calls.iter().skip(1)) {
        let (polled, call, next) = (polled.clone(), call.clone(), next.clone());
        let link = async move {
            call.notified().await;
            polled.fetch_add(1, Ordering::Relaxed);
            next.notify_one();
        };
        tokio::spawn(roaming(link, true));
    }
    let ready = Arc::new(Notify::new());
    let other = tokio::spawn({
        let (polled, ready) = (polled.clone(), ready.clone());
        async move {
            ready.notified().await;
            polled.load(Ordering::Relaxed)
        }
    });
    tokio::task::yield_now().await;
    calls[0].notify_one();
    ready.notify_one();
    let before_other = soon(other).await.unwrap();
    assert!((1..=MOST_POLLS + 1).contains(&before_other), "{before_other} in one turn");
    soon(calls[length].notified()).await;
    assert_eq!(polled.load(Ordering::Relaxed), length);
}

#[tokio::test]
async fn a_panic_ends_only_the_task_it_is_in() {
    let [first, second] = [(); 2].map(|()| Arc::new(Notify::new()));
    let (call, next) = (first.clone(), second.clone());
    let mut told = station(true, &call, Some(&next));
    let panics = tokio::spawn(roaming(
        async move {
            second.notified().await;
            panic!("as it was told to");
        },
        true,
    ));
    tokio::task::yield_now().await;
    for _ in 0..2 {
        first.notify_one();
        soon(told.recv()).await.unwrap();
    }
    soon(panics).await.unwrap();
}

#[tokio::test]
async fn the_work_ends_with_its_task() {
    let (call, held) = (Arc::new(Notify::new()), Arc::new(()));
    let kept = held.clone();
    let waits = call.clone();
    let task = tokio::spawn(roaming(
        async move {
            let _kept = kept;
            waits.notified().await;
        },
        true,
    ));
    tokio::task::yield_now().await;
    task.abort();
    assert!(soon(task).await.unwrap_err().is_cancelled());
    assert_eq!(Arc::strong_count(&held), 1);
}
