//! Intersection over union, and pictures of classes.

use super::camvid::{CLASSES, VOID};
use crate::Image;
use serde::{Deserialize, Serialize};

const N: usize = CLASSES.len();

/// How often each class was drawn where another was right: a confusion matrix over pixels.
#[derive(Clone, Debug, Default)]
pub(super) struct Confusion([[u64; N]; N]);

/// What follows from it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Score {
    /// Mean over the classes of intersection over union (Everingham et al. 2010), over all pixels of all pictures.
    pub miou: f64,
    /// Share of pixels that have the right class.
    pub accuracy: f64,
    /// Intersection over union of each class.
    pub iou: Vec<f64>,
}

impl Confusion {
    pub(super) fn add(&mut self, drawn: &[u8], labels: &[u8]) {
        for (&drawn, &label) in drawn.iter().zip(labels).filter(|(_, label)| **label != VOID) {
            self.0[usize::from(label)][usize::from(drawn)] += 1;
        }
    }

    pub(super) fn merge(mut self, other: &Confusion) -> Confusion {
        self.0.iter_mut().flatten().zip(other.0.iter().flatten()).for_each(|(sum, more)| *sum += more);
        self
    }

    /// A class that is neither drawn nor there counts as 0.
    pub(super) fn score(&self) -> Score {
        let iou: Vec<f64> = (0..N)
            .map(|class| {
                let right = self.0[class][class];
                let there: u64 = self.0[class].iter().sum();
                let drawn: u64 = self.0.iter().map(|row| row[class]).sum();
                right as f64 / (there + drawn - right).max(1) as f64
            })
            .collect();
        let right: u64 = (0..N).map(|class| self.0[class][class]).sum();
        let all: u64 = self.0.iter().flatten().sum();
        let miou = iou.iter().sum::<f64>() / N as f64;
        Score { miou, accuracy: right as f64 / all.max(1) as f64, iou }
    }
}

/// The likeliest class of every pixel (height × width) from logits (rows, columns, 11) at a quarter of the resolution,
/// interpolated linearly.
pub(super) fn classes(logits: &[f32], rows: usize, columns: usize, height: usize, width: usize) -> Vec<u8> {
    let lines = |at: usize, most: usize| {
        let place = ((at as f32 + 0.5) / 4.0 - 0.5).clamp(0.0, (most - 1) as f32);
        let low = (place as usize).min(most - 1);
        (low, (low + 1).min(most - 1), place - low as f32)
    };
    let mut out = Vec::with_capacity(height * width);
    let mut line = vec![0.0f32; columns * N];
    for y in 0..height {
        let (above, below, share) = lines(y, rows);
        let row = |at: usize| &logits[at * columns * N..][..columns * N];
        for (value, (a, b)) in line.iter_mut().zip(row(above).iter().zip(row(below))) {
            *value = a + share * (b - a);
        }
        for x in 0..width {
            let (left, right, share) = lines(x, columns);
            let mut best = (f32::NEG_INFINITY, 0);
            for class in 0..N {
                let (a, b) = (line[left * N + class], line[right * N + class]);
                let value = a + share * (b - a);
                if value > best.0 {
                    best = (value, class as u8);
                }
            }
            out.push(best.1);
        }
    }
    out
}

/// The classes in their colours, laid over `picture` by half where there is one.
pub(super) fn coloured(classes: &[u8], width: u32, height: u32, picture: Option<&Image>) -> Image {
    let mut rgb: Vec<u8> = classes.iter().flat_map(|&class| CLASSES[usize::from(class)].1).collect();
    if let Some(picture) = picture {
        rgb.iter_mut()
            .zip(&picture.rgb)
            .for_each(|(a, b)| *a = (u16::from(*a) + u16::from(*b)).div_ceil(2) as u8);
    }
    Image { width, height, rgb }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_those_of_their_definition() {
        let mut confusion = Confusion::default();
        // Class 0: 3 right, 1 drawn as 1; class 1: 1 right, 1 drawn as 0; void is not counted.
        confusion.add(&[0, 0, 0, 1, 1, 0, 5], &[0, 0, 0, 0, 1, 1, VOID]);
        let score = confusion.score();
        assert!((score.iou[0] - 0.6).abs() < 1e-12 && (score.iou[1] - 1.0 / 3.0).abs() < 1e-12);
        assert!((score.miou - (0.6 + 1.0 / 3.0) / 11.0).abs() < 1e-12);
        assert!((score.accuracy - 4.0 / 6.0).abs() < 1e-12);
        assert_eq!(confusion.clone().merge(&confusion).score().miou, score.miou);
    }

    #[test]
    fn classes_are_drawn_at_the_size_of_the_picture() {
        // Left cell: class 2; right cell: class 7, twice as sure.
        let mut logits = vec![0.0; 2 * N];
        (logits[2], logits[N + 7]) = (1.0, 2.0);
        let drawn = classes(&logits, 1, 2, 3, 8);
        assert_eq!(drawn, [[2, 2, 2, 7, 7, 7, 7, 7]; 3].concat());
        let over = coloured(&[0, 1], 2, 1, Some(&Image { width: 2, height: 1, rgb: vec![0; 6] }));
        assert_eq!(over.rgb, [64, 64, 64, 64, 0, 0]);
    }
}
