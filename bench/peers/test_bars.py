"""Run with: python3 -m unittest discover -s bench/peers"""

import unittest

import report
from bars import Figure, faster, share


def row(**times):
    return {"times": times, "not_run": {"gone": "it is not installed"}}


class Judging(unittest.TestCase):
    def test_a_ratio_is_that_of_the_medians(self):
        figure = faster(row(theirs=[8, 9, 10, 11, 100], ours=[1, 1, 2, 2, 2]), "f", "theirs", "ours", 4.9)
        self.assertEqual((figure.value, figure.low, figure.high), (5, 5, 50))
        self.assertEqual(figure.verdict(), "met")

    def test_bars_point_both_ways_and_just_met_is_met(self):
        times = row(ours=[2] * 5, other=[4] * 5)
        self.assertEqual(share(times, "f", "ours", "other", 0.5).verdict(), "met")
        self.assertEqual(share(times, "f", "ours", "other", 0.49).verdict(), "missed")
        self.assertEqual(faster(times, "f", "other", "ours", 2.01).verdict(), "missed")

    def test_few_rounds_are_said(self):
        figure = share(row(ours=[1] * 4, other=[2] * 4), "f", "ours", "other", 0.4)
        self.assertTrue(figure.missed())
        self.assertEqual(figure.verdict(), "missed (4 rounds are too few)")

    def test_what_did_not_run_says_why(self):
        figure = share(row(ours=[1] * 5), "f", "ours", "gone", 0.5)
        self.assertEqual(figure.verdict(), "not run: gone: it is not installed")
        self.assertIsNone(figure.share_of_bar())

    def test_more_is_better_in_the_picture_whichever_way_the_bar_points(self):
        self.assertEqual(Figure("f", "at most", 1.0, 2.0).share_of_bar(), 0.5)
        self.assertEqual(Figure("f", "at least", 1.0, 2.0).share_of_bar(), 2.0)
        self.assertEqual(report.range_of_bar(Figure("f", "at most", 1.0, 2.0, 1.0, 4.0)), [0.25, 1.0])


class Rates(unittest.TestCase):
    def test_a_series_of_sizes_has_the_rate_of_its_size(self):
        entry = {"facts": {"bytes": {"2": 2 << 30, "32": 32 << 30}}}
        self.assertEqual(report.rate(entry, "32 GiB", 16), "2.00")
        self.assertEqual(report.rate(entry, "2 GiB, repeated 1", 1), "2.00")
        self.assertEqual(report.rate(entry, "dd 32 GiB", 32), "1.00")
        self.assertEqual(report.rate(entry, "info", 1), "")


if __name__ == "__main__":
    unittest.main()
