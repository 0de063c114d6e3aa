"""Self-contained HTML pages of figures: nothing on them comes from elsewhere; light and dark, narrow, in print.

A page is made of sections, a section of pieces of markup:

    page("Title", [Section("Figures", [paragraph("Text <escaped>"), table(["name", "error"], [["torch", 0.3]])])])

Everything that is not `Html` is text and is escaped. `write(path, text)` puts the page in a file.
"""

from metaspec.html.charts import Series, histogram, line_chart
from metaspec.html.heatmap import HeatmapCell, Shade, heat_map, legend
from metaspec.html.markup import Html, embedded_svg, h, join
from metaspec.html.page import Section, code, details, page, paragraph, side_by_side, verdict, write
from metaspec.html.tables import definitions, figure, table

__all__ = [
    "HeatmapCell",
    "Html",
    "Section",
    "Series",
    "Shade",
    "code",
    "definitions",
    "details",
    "embedded_svg",
    "figure",
    "h",
    "heat_map",
    "histogram",
    "join",
    "legend",
    "line_chart",
    "page",
    "paragraph",
    "side_by_side",
    "table",
    "verdict",
    "write",
]
