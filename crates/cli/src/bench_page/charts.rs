//! The charts, as SVG that stands in the page itself. Colours are those of light paper; the page's style turns black
//! into the colour of its text.

use std::fmt::Display;

use plotters::coord::ranged1d::SegmentValue;
use plotters::prelude::*;

use super::html::escape;
use super::series::{Bars, Line};

/// Okabe and Ito's colours, which people with colour blindness tell apart, without the two that are hard to see on white or black.
pub const COLOURS: [RGBColor; 6] = [
    RGBColor(0xD5, 0x5E, 0x00),
    RGBColor(0x00, 0x8F, 0x6B),
    RGBColor(0x2B, 0x8C, 0xD6),
    RGBColor(0xB8, 0x62, 0x92),
    RGBColor(0xB0, 0x84, 0x00),
    RGBColor(0x80, 0x80, 0x80),
];

const SIZE: (u32, u32) = (720, 400);
pub const FONT: (&str, i32) = ("sans-serif", 19);
const SMALL_FONT: (&str, i32) = ("sans-serif", 16);

/// Why a chart could not be drawn, in words.
pub type ChartError = String;

/// What a chart of lines is called and how its axis below reads.
pub struct Axes<'a> {
    pub title: &'a str,
    pub below: &'a str,
    /// The text of a value of the axis below.
    pub label: &'a dyn Fn(&f64) -> String,
    /// How many labels it gets.
    pub labels: usize,
}

/// Lines with a mark on each point; GB/s upwards from 0.
pub fn lines(lines: &[Line], axes: &Axes<'_>) -> Result<String, ChartError> {
    let points = || lines.iter().flat_map(|line| line.points.iter().copied());
    let least = points().map(|(x, _)| x).fold(f64::INFINITY, f64::min);
    let most = points().map(|(x, _)| x).fold(least, f64::max);
    // One point alone would make an axis without length.
    let most = if most > least { most } else { least + 1.0 };
    let highest = upper_end(points().map(|(_, y)| y));
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin(12)
            // Half of the last label stands outside.
            .margin_right(40)
            .x_label_area_size(56)
            .y_label_area_size(64)
            .build_cartesian_2d(least..most, 0.0..highest)
            .map_err(told)?;
        chart
            .configure_mesh()
            .light_line_style(BLACK.mix(0.0))
            .bold_line_style(BLACK.mix(0.15))
            .x_labels(axes.labels)
            .x_label_formatter(axes.label)
            .x_desc(axes.below)
            .y_desc("GB/s")
            .label_style(FONT)
            .axis_desc_style(FONT)
            .draw()
            .map_err(told)?;
        for line in lines {
            let colour = COLOURS[line.colour % COLOURS.len()];
            let series = LineSeries::new(line.points.iter().copied(), colour.stroke_width(3));
            chart.draw_series(series).map_err(told)?;
            let filled = colour.filled();
            match line.colour % 3 {
                0 => chart
                    .draw_series(line.points.iter().map(|point| Circle::new(*point, 6, filled)))
                    .map(drop),
                1 => chart
                    .draw_series(line.points.iter().map(|point| TriangleMarker::new(*point, 8, filled)))
                    .map(drop),
                _ => chart
                    .draw_series(
                        line.points.iter().map(|point| Cross::new(*point, 6, colour.stroke_width(3))),
                    )
                    .map(drop),
            }
            .map_err(told)?;
        }
        root.present().map_err(told)?;
    }
    Ok(named(&svg, axes.title))
}

/// The mark that [`lines`](lines()) puts on the points of a line, for the legend.
pub fn mark(colour: usize) -> char {
    ['●', '▲', '✕'][colour % 3]
}

/// Lying bars, a group for each name, with the figure behind each bar.
pub fn bars(groups: &[Bars], title: &str) -> Result<String, ChartError> {
    let count = groups.len();
    // Room for the figures behind the longest bar.
    let highest = upper_end(groups.iter().flat_map(|group| group.rates.iter().copied())) * 1.1;
    let height = 70 + 44 * u32::try_from(count).unwrap_or(0);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (SIZE.0, height)).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin(12)
            .x_label_area_size(56)
            .y_label_area_size(220)
            .build_cartesian_2d(0.0..highest, (0..count.saturating_sub(1)).into_segmented())
            .map_err(told)?;
        // The axis counts upwards, people read downwards.
        let name = |value: &SegmentValue<usize>| match value {
            SegmentValue::CenterOf(place) if *place < count => groups[count - 1 - place].name.clone(),
            _ => String::new(),
        };
        chart
            .configure_mesh()
            .disable_y_mesh()
            .light_line_style(BLACK.mix(0.0))
            .bold_line_style(BLACK.mix(0.15))
            .y_labels(count)
            .y_label_formatter(&name)
            .x_desc("GB/s")
            .label_style(FONT)
            .axis_desc_style(FONT)
            .draw()
            .map_err(told)?;
        for (place, group) in groups.iter().rev().enumerate() {
            let halves = group.rates.len().max(1);
            for (half, rate) in group.rates.iter().enumerate() {
                let (from, to) = match (halves, half) {
                    (1, _) => (SegmentValue::Exact(place), SegmentValue::Exact(place + 1)),
                    (_, 0) => (SegmentValue::CenterOf(place), SegmentValue::Exact(place + 1)),
                    _ => (SegmentValue::Exact(place), SegmentValue::CenterOf(place)),
                };
                let mut bar = Rectangle::new(
                    [(0.0, from), (*rate, to.clone())],
                    COLOURS[half % COLOURS.len()].filled(),
                );
                // The group's outer edges stay free, so that groups are told apart.
                let (above, below) = if half == 0 { (5, 0) } else { (0, 5) };
                bar.set_margin(above, below, 0, 0);
                chart.draw_series(std::iter::once(bar)).map_err(told)?;
                let shift = if half == 0 { 6 } else { 2 };
                let figure =
                    EmptyElement::at((*rate, to)) + Text::new(format!("{rate:.1}"), (5, shift), SMALL_FONT);
                chart.draw_series(std::iter::once(figure)).map_err(told)?;
            }
        }
        root.present().map_err(told)?;
    }
    Ok(named(&svg, title))
}

/// A round number above all of them, and 1 if there are none.
fn upper_end(values: impl Iterator<Item = f64>) -> f64 {
    let highest = values.filter(|value| value.is_finite()).fold(0.0, f64::max);
    if highest > 0.0 { highest * 1.08 } else { 1.0 }
}

/// Says to those who do not see it what the picture is; its figures are in a table.
pub fn named(svg: &str, title: &str) -> String {
    svg.replacen("<svg ", &format!("<svg role=\"img\" aria-label=\"{}\" ", escape(title)), 1)
}

pub fn told(error: impl Display) -> ChartError {
    error.to_string()
}
