//! Python objects of which a thread may let go that is not attached.
//!
//! Only one that is attached may really do so. pyo3 would keep them under a lock until then; a child that is forked while such
//! a thread has that lock would wait for it for ever, as soon as it is called. Here they are in a list that is whole at every
//! moment, so that a fork at any of them leaves the child a list of its own.

use std::mem::ManuallyDrop;
use std::ops::Deref;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

use pyo3::prelude::*;

/// What was dropped, until somebody who is attached comes by.
static DROPPED: Dropped = Dropped(AtomicPtr::new(ptr::null_mut()));

/// A Python object of which any thread may let go, attached or not.
pub(crate) struct Loose<T>(ManuallyDrop<Py<T>>);

impl<T> Loose<T> {
    pub(crate) fn new(object: Py<T>) -> Self {
        Self(ManuallyDrop::new(object))
    }
}

impl<T> Deref for Loose<T> {
    type Target = Py<T>;

    fn deref(&self) -> &Py<T> {
        &self.0
    }
}

impl<T> Drop for Loose<T> {
    fn drop(&mut self) {
        // SAFETY: nobody sees it after this.
        let object = unsafe { ManuallyDrop::take(&mut self.0) };
        DROPPED.push(object.into_any());
    }
}

/// A list of objects.
struct Dropped(AtomicPtr<Entry>);

struct Entry {
    _object: Py<PyAny>,
    next: *mut Entry,
}

impl Dropped {
    fn push(&self, object: Py<PyAny>) {
        let entry = Box::into_raw(Box::new(Entry { _object: object, next: ptr::null_mut() }));
        let mut first = self.0.load(Ordering::Relaxed);
        loop {
            // SAFETY: it was a box a moment ago, and nobody else knows of it before it is in the list.
            unsafe { (*entry).next = first };
            match self.0.compare_exchange_weak(first, entry, Ordering::Release, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => first = now,
            }
        }
    }

    fn let_go(&self) {
        if self.0.load(Ordering::Relaxed).is_null() {
            return;
        }
        let mut next = self.0.swap(ptr::null_mut(), Ordering::Acquire);
        while !next.is_null() {
            // SAFETY: `push` made it from a box, as all in the list. The list was taken as a whole: nobody else has it.
            let entry = unsafe { Box::from_raw(next) };
            next = entry.next;
        }
    }
}

/// Lets go of what was dropped since somebody did. Those do who are called all the time, and not under a lock: it may run Python
/// code, as a class derived from `bytes` may have a finalizer.
pub(crate) fn let_go(_attached: Python<'_>) {
    DROPPED.let_go();
}
