"""What people look at: the pictures of a search and the page that holds them. No Ray, no torch."""

from raynas.report.front_plot import plot_front
from raynas.report.page import write_report
from raynas.report.plots import plot_best_so_far, plot_choices, plot_tradeoff, save_png, to_svg

__all__ = ["plot_best_so_far", "plot_choices", "plot_front", "plot_tradeoff", "save_png", "to_svg", "write_report"]
