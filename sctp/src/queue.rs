//! Functions that `VecDeque` lacks.

use std::collections::VecDeque;

/// Removes and returns the first item of a queue, if `is_wanted` accepts it.
pub(crate) fn pop_if<T>(queue: &mut VecDeque<T>, is_wanted: impl FnOnce(&T) -> bool) -> Option<T> {
    if is_wanted(queue.front()?) { queue.pop_front() } else { None }
}
