//! Who may come in: places counted in pictures and in pixels.

use crate::config::Config;
use crate::error::ApiError;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The networks see whole cells of this many pixels a side.
const CELL: u64 = 64;

pub(crate) struct Queue {
    pictures: Arc<Semaphore>,
    pixels: Arc<Semaphore>,
    places: usize,
    capacity: usize,
    rate: Mutex<Rate>,
}

/// A place in the queue, held as long as the picture is.
pub(crate) struct Place {
    _picture: OwnedSemaphorePermit,
    _pixels: OwnedSemaphorePermit,
}

impl Queue {
    pub(crate) fn new(config: &Config) -> Queue {
        Queue {
            pictures: Arc::new(Semaphore::new(config.queue)),
            pixels: Arc::new(Semaphore::new(config.queue_pixels)),
            places: config.queue,
            capacity: config.queue_pixels,
            rate: Mutex::default(),
        }
    }

    /// Refuses where not even a picture of one pixel would be taken.
    pub(crate) fn check_room(&self) -> Result<(), ApiError> {
        if self.pictures.available_permits() == 0 || self.pixels.available_permits() == 0 {
            return Err(self.full());
        }
        Ok(())
    }

    /// Takes a place for a picture of this size, or refuses at once.
    pub(crate) fn enter(&self, size: (u32, u32)) -> Result<Place, ApiError> {
        self.enter_all(&[size])
    }

    /// Takes one place for pictures of these sizes, or refuses at once.
    pub(crate) fn enter_all(&self, sizes: &[(u32, u32)]) -> Result<Place, ApiError> {
        let cost: u64 = sizes.iter().map(|&(width, height)| padded_pixels(width, height)).sum();
        // Padding may carry a picture within the pixel limit over the queue's: it then needs all of it.
        let cost = cost.min(self.capacity as u64) as u32;
        let pixels = self.pixels.clone().try_acquire_many_owned(cost).map_err(|_| self.full())?;
        let picture = self.pictures.clone().try_acquire_owned().map_err(|_| self.full())?;
        Ok(Place { _picture: picture, _pixels: pixels })
    }

    /// Pictures that have a place now.
    pub(crate) fn held_pictures(&self) -> usize {
        self.places - self.pictures.available_permits()
    }

    /// Pixels that have a place now.
    pub(crate) fn held_pixels(&self) -> usize {
        self.capacity - self.pixels.available_permits()
    }

    /// Learns how fast pictures are encoded: one of this size is, and was begun at `start`.
    pub(crate) fn encoded(&self, (width, height): (u32, u32), start: Instant) {
        let mut rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        rate.add(padded_pixels(width, height), start, Instant::now());
    }

    /// When what now waits will have been encoded, in whole seconds.
    pub(crate) fn retry_after(&self) -> u64 {
        let rate = self.rate.lock().unwrap_or_else(PoisonError::into_inner);
        rate.seconds_for(self.held_pixels() as u64).clamp(1.0, 60.0).ceil() as u64
    }

    fn full(&self) -> ApiError {
        ApiError::QueueFull { retry_after: self.retry_after() }
    }
}

/// What a picture costs: its pixels, padded to whole cells.
pub(crate) fn padded_pixels(width: u32, height: u32) -> u64 {
    u64::from(width).next_multiple_of(CELL) * u64::from(height).next_multiple_of(CELL)
}

/// Pixels over the time in which there was something to do, of which the last half minute counts most.
#[derive(Default)]
struct Rate {
    pixels: f64,
    busy: Duration,
    last: Option<Instant>,
}

impl Rate {
    const MEMORY: Duration = Duration::from_secs(30);

    fn add(&mut self, pixels: u64, start: Instant, end: Instant) {
        // Pictures overlap: the time since the last one's end was spent on this one.
        let from = self.last.map_or(start, |last| last.max(start));
        self.busy += end.saturating_duration_since(from);
        self.pixels += pixels as f64;
        self.last = Some(end);
        if self.busy > Self::MEMORY {
            self.busy /= 2;
            self.pixels /= 2.0;
        }
    }

    fn seconds_for(&self, pixels: u64) -> f64 {
        if self.pixels > 0.0 { pixels as f64 * self.busy.as_secs_f64() / self.pixels } else { 0.0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_and_pixels_are_both_counted() {
        let queue = Queue::new(&Config { queue: 2, queue_pixels: 10_000, ..Config::default() });
        let first = queue.enter((1, 65)).unwrap();
        assert_eq!(queue.held_pixels(), 8192);
        assert!(matches!(queue.enter((64, 64)), Err(ApiError::QueueFull { .. })));
        drop(first);
        // More than there is at all takes all there is.
        let all = queue.enter((1000, 1000)).unwrap();
        assert!(queue.check_room().is_err());
        drop(all);
        let _two = [(); 2].map(|()| queue.enter((1, 1)).unwrap());
        assert!(queue.enter((1, 1)).is_err() && queue.check_room().is_err());
    }

    #[test]
    fn the_wait_follows_the_rate() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut rate = Rate::default();
        assert_eq!(rate.seconds_for(1000), 0.0);
        // Two overlapping pictures, a pause, and one more: 300 pixels in 6 s.
        rate.add(100, at(0), at(2));
        rate.add(100, at(1), at(4));
        rate.add(100, at(10), at(12));
        assert_eq!(rate.seconds_for(100), 2.0);
        for second in 12..200 {
            rate.add(1000, at(second), at(second + 1));
        }
        assert!((rate.seconds_for(5000) - 5.0).abs() < 0.5);
    }
}
