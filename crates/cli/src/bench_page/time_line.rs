//! The time line of a job: a lane for each step, a bar for each window.

use plotters::coord::ranged1d::SegmentValue;
use plotters::prelude::*;

use super::charts::{COLOURS, ChartError, FONT, named, told};
use super::series::Lane;

/// Wider than the other charts: time needs room.
const WIDTH: u32 = 1180;
const LANE_HEIGHT: u32 = 44;

/// Lanes from above in the order given, time from left to right.
pub fn draw(lanes: &[Lane], title: &str) -> Result<String, ChartError> {
    let count = lanes.len();
    let bars = || lanes.iter().flat_map(|lane| lane.bars.iter());
    let last = bars().map(|(_, to)| *to).fold(0.0, f64::max);
    // A job of no time at all would make an axis without length.
    let last = if last > 0.0 { last } else { 1.0 };
    // As milliseconds, where seconds would be fractions only.
    let (unit, scale) = if last < 2.0 { ("milliseconds", 1e3) } else { ("seconds", 1.0) };
    let height = 80 + LANE_HEIGHT * u32::try_from(count).unwrap_or(0);
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, height)).into_drawing_area();
        let mut chart = ChartBuilder::on(&root)
            .margin(12)
            // Half of the last label stands outside.
            .margin_right(40)
            .x_label_area_size(56)
            .y_label_area_size(120)
            .build_cartesian_2d(0.0..last * scale, (0..count.saturating_sub(1)).into_segmented())
            .map_err(told)?;
        // The axis counts upwards, people read downwards.
        let name = |value: &SegmentValue<usize>| match value {
            SegmentValue::CenterOf(place) if *place < count => lanes[count - 1 - place].name.to_owned(),
            _ => String::new(),
        };
        chart
            .configure_mesh()
            .disable_y_mesh()
            .light_line_style(BLACK.mix(0.0))
            .bold_line_style(BLACK.mix(0.15))
            .y_labels(count)
            .y_label_formatter(&name)
            .x_labels(12)
            .x_label_formatter(&|value| without_zeros(*value))
            .x_desc(format!("{unit} from the beginning of the job"))
            .label_style(FONT)
            .axis_desc_style(FONT)
            .draw()
            .map_err(told)?;
        for (place, lane) in lanes.iter().rev().enumerate() {
            let colour = COLOURS[lane.colour % COLOURS.len()];
            for (window, (from, to)) in lane.bars.iter().enumerate() {
                // One window ends where the next begins: every other one is paler, so that they are told apart.
                let style = if window % 2 == 0 { colour.filled() } else { colour.mix(0.55).filled() };
                let corners = [
                    (from * scale, SegmentValue::Exact(place)),
                    (to * scale, SegmentValue::Exact(place + 1)),
                ];
                let mut bar = Rectangle::new(corners, style);
                bar.set_margin(6, 6, 0, 0);
                chart.draw_series(std::iter::once(bar)).map_err(told)?;
            }
        }
        root.present().map_err(told)?;
    }
    Ok(named(&svg, title))
}

/// Labels of a short axis are fractions.
fn without_zeros(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_window_has_a_bar_in_every_lane() {
        let lane = |(colour, name)| Lane {
            name,
            colour,
            legend: String::new(),
            bars: (0..200)
                .map(|window| f64::from(window) + colour as f64 / 5.0)
                .map(|at| (at, at + 0.7))
                .collect(),
        };
        let lanes: Vec<Lane> = ["read ahead", "prepare", "commit", "store", "settle"]
            .into_iter()
            .enumerate()
            .map(lane)
            .collect();
        let svg = draw(&lanes, "title").unwrap();
        assert_eq!(svg.matches("<rect").count(), 5 * 200);
        assert!(svg.contains("seconds from the beginning of the job") && !svg.contains("milliseconds"));
    }

    #[test]
    fn labels_are_short() {
        assert_eq!([0.0, 2.5, 40.0, 0.25].map(without_zeros), ["0", "2.5", "40", "0.25"]);
    }

    #[test]
    fn no_time_and_no_windows_are_drawn_too() {
        let nothing = Lane { name: "store", colour: 0, legend: String::new(), bars: vec![(0.0, 0.0)] };
        assert!(draw(&[nothing], "title").is_ok());
        assert!(draw(&[], "title").is_ok());
    }
}
