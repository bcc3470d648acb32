use super::dither;
use image::DynamicImage;
use moxcms::{
    CmsError, ColorProfile, DataColorSpace, Layout, Transform8BitExecutor, TransformExecutor,
    TransformOptions,
};
use std::sync::Arc;

/// RGB bytes of `pixels`: profile converted, alpha mixed with `background`, 16 bits dithered. 8-bit RGB in
/// sRGB is handed through as it is.
pub(super) fn to_srgb8(
    pixels: DynamicImage,
    profile: Option<&[u8]>,
    background: [u8; 3],
) -> Result<Vec<u8>, CmsError> {
    let width = pixels.width() as usize;
    let profile = profile.and_then(readable).filter(|profile| !is_srgb(profile));
    let profile = profile.as_ref();
    match pixels {
        DynamicImage::ImageRgb8(picture) => {
            let mut samples = picture.into_raw();
            if let Some(executor) = profile.and_then(|profile| executor::<u8>(profile, 3)) {
                convert_in_place(&mut samples, width, &*executor.transform)?;
            }
            Ok(samples)
        }
        DynamicImage::ImageLuma8(picture) => rows(picture.as_raw(), 1, width, profile, background),
        DynamicImage::ImageLumaA8(picture) => rows(picture.as_raw(), 2, width, profile, background),
        DynamicImage::ImageRgba8(picture) => rows(picture.as_raw(), 4, width, profile, background),
        DynamicImage::ImageLuma16(picture) => rows(picture.as_raw(), 1, width, profile, background),
        DynamicImage::ImageLumaA16(picture) => rows(picture.as_raw(), 2, width, profile, background),
        DynamicImage::ImageRgb16(picture) => rows(picture.as_raw(), 3, width, profile, background),
        picture => rows(picture.into_rgba16().as_raw(), 4, width, profile, background),
    }
}

/// A profile for samples that the decoders give.
fn readable(bytes: &[u8]) -> Option<ColorProfile> {
    let profile = ColorProfile::new_from_slice(bytes).ok()?;
    matches!(profile.color_space, DataColorSpace::Rgb | DataColorSpace::Gray).then_some(profile)
}

/// Whether the profile is sRGB in other words, as most are: conversion would move no colour by more than its
/// own rounding. Such pixels are better left alone.
fn is_srgb(profile: &ColorProfile) -> bool {
    const STEP: usize = 15;
    let levels = || (0..=255u8).step_by(STEP);
    let (probe, channels): (Vec<u8>, _) = if profile.color_space == DataColorSpace::Gray {
        ((0..=255).collect(), 1)
    } else {
        let colours = levels().flat_map(|r| levels().flat_map(move |g| levels().map(move |b| [r, g, b])));
        (colours.flatten().collect(), 3)
    };
    let Some(executor) = executor::<u8>(profile, channels) else { return false };
    let mut converted = vec![0; probe.len() / channels * 3];
    executor.transform.transform(&probe, &mut converted).is_ok()
        && converted.iter().enumerate().all(|(i, value)| value.abs_diff(probe[i * channels / 3]) <= 1)
}

fn convert_in_place(
    samples: &mut [u8],
    width: usize,
    transform: &Transform8BitExecutor,
) -> Result<(), CmsError> {
    let mut source = vec![0; width * 3];
    for row in samples.chunks_exact_mut(width * 3) {
        source.copy_from_slice(row);
        transform.transform(&source, row)?;
    }
    Ok(())
}

/// A conversion to sRGB, and the channels it takes: those of the picture, or RGB for a grey picture with a
/// colour profile. It gives RGB, with alpha if it takes alpha.
struct Executor<S> {
    transform: Arc<dyn TransformExecutor<S> + Send + Sync>,
    takes: usize,
}

/// `None` for a profile that says nothing about a picture of so many channels, or that cannot be used.
fn executor<S: Sample>(profile: &ColorProfile, channels: usize) -> Option<Executor<S>> {
    let (from, to, takes) = match (profile.color_space, channels) {
        (DataColorSpace::Gray, 1) => (Layout::Gray, Layout::Rgb, 1),
        (DataColorSpace::Gray, 2) => (Layout::GrayAlpha, Layout::Rgba, 2),
        (DataColorSpace::Rgb, 1 | 3) => (Layout::Rgb, Layout::Rgb, 3),
        (DataColorSpace::Rgb, 2 | 4) => (Layout::Rgba, Layout::Rgba, 4),
        _ => return None,
    };
    Some(Executor { transform: S::transform(profile, from, to).ok()?, takes })
}

/// Row by row: grey spread to RGB, colours converted, alpha mixed, 8 bits.
fn rows<S: Sample>(
    samples: &[S],
    channels: usize,
    width: usize,
    profile: Option<&ColorProfile>,
    background: [u8; 3],
) -> Result<Vec<u8>, CmsError> {
    let executor = profile.and_then(|profile| executor::<S>(profile, channels));
    let wide = if channels.is_multiple_of(2) { 4 } else { 3 };
    let mut spread = vec![S::default(); width * wide];
    let mut converted = spread.clone();
    let mut rgb = Vec::with_capacity(samples.len() / channels * 3);
    for (y, row) in samples.chunks_exact(width * channels).enumerate() {
        let row = match &executor {
            Some(executor) if executor.takes == channels => {
                executor.transform.transform(row, &mut converted)?;
                &converted[..]
            }
            Some(executor) => {
                spread_grey(row, channels, &mut spread);
                executor.transform.transform(&spread, &mut converted)?;
                &converted[..]
            }
            None if channels < 3 => {
                spread_grey(row, channels, &mut spread);
                &spread[..]
            }
            None => row,
        };
        let thresholds = dither::row(y);
        for (x, pixel) in row.chunks_exact(wide).enumerate() {
            let threshold = thresholds[x % thresholds.len()];
            let alpha = pixel.get(3);
            let mixed = |c: usize| alpha.map_or(pixel[c], |&alpha| pixel[c].over(background[c], alpha));
            rgb.extend([0, 1, 2].map(|c| mixed(c).to_u8(threshold)));
        }
    }
    Ok(rgb)
}

fn spread_grey<S: Sample>(row: &[S], channels: usize, spread: &mut [S]) {
    for (from, to) in row.chunks_exact(channels).zip(spread.chunks_exact_mut(channels + 2)) {
        to[..3].fill(from[0]);
        to[3..].copy_from_slice(&from[1..]);
    }
}

/// A sample of 8 or 16 bits.
trait Sample: Copy + Default {
    fn transform(
        profile: &ColorProfile,
        from: Layout,
        to: Layout,
    ) -> Result<Arc<dyn TransformExecutor<Self> + Send + Sync>, CmsError>;
    /// This sample with opacity `alpha` before an 8-bit `background`, rounded to nearest.
    fn over(self, background: u8, alpha: Self) -> Self;
    fn to_u8(self, threshold: u32) -> u8;
}

impl Sample for u8 {
    fn transform(
        profile: &ColorProfile,
        from: Layout,
        to: Layout,
    ) -> Result<Arc<dyn TransformExecutor<u8> + Send + Sync>, CmsError> {
        profile.create_transform_8bit(from, &ColorProfile::new_srgb(), to, TransformOptions::default())
    }

    fn over(self, background: u8, alpha: u8) -> u8 {
        let (alpha, full) = (u32::from(alpha), 255);
        ((u32::from(self) * alpha + u32::from(background) * (full - alpha) + full / 2) / full) as u8
    }

    fn to_u8(self, _threshold: u32) -> u8 {
        self
    }
}

impl Sample for u16 {
    fn transform(
        profile: &ColorProfile,
        from: Layout,
        to: Layout,
    ) -> Result<Arc<dyn TransformExecutor<u16> + Send + Sync>, CmsError> {
        // Fixed point keeps 13 bits.
        let options = TransformOptions { prefer_fixed_point: false, ..TransformOptions::default() };
        profile.create_transform_16bit(from, &ColorProfile::new_srgb(), to, options)
    }

    fn over(self, background: u8, alpha: u16) -> u16 {
        let (alpha, full) = (u64::from(alpha), 65_535);
        ((u64::from(self) * alpha + u64::from(background) * 257 * (full - alpha) + full / 2) / full) as u16
    }

    fn to_u8(self, threshold: u32) -> u8 {
        dither::to_u8(self, threshold)
    }
}
