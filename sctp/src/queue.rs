//! What queues lack.

use std::collections::VecDeque;

/// Removes and returns the first of a queue, if it is as asked.
pub(crate) fn pop_if<T>(queue: &mut VecDeque<T>, is_wanted: impl FnOnce(&T) -> bool) -> Option<T> {
    if is_wanted(queue.front()?) { queue.pop_front() } else { None }
}
