"""plot: curves as an SVG file, both axes logarithmic."""
import html
import math

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 760, 420, 64, 40, 170, 44
COLOURS = "#777777", "#aaaaaa", "#555555", "#c0392b", "#2471a3", "#229954", "#7d3c98", "#b9770e", "#17a589", "#5d4037"


def ticks(low, high):
    e = math.floor(math.log10(low))
    return [m * 10 ** k for k in range(e, math.ceil(math.log10(high)) + 1) for m in (1, 2, 5) if low <= m * 10 ** k <= high]


def write(path, title, curves):
    """CURVES: name to [(x, y), ...]."""
    points = [p for c in curves.values() for p in c]
    if not points:
        return
    x0, x1 = min(p[0] for p in points), max(max(p[0] for p in points), 2)
    y0, y1 = min(p[1] for p in points) / 1.3, max(p[1] for p in points) * 1.3

    def px(x):
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log(x / x0) / math.log(x1 / x0)

    def py(y):
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * math.log(y / y0) / math.log(y1 / y0)

    out = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">' % (WIDTH, HEIGHT),
           '<rect width="100%" height="100%" fill="white"/>', '<text x="%d" y="22" font-size="14">%s</text>' % (LEFT, html.escape(title))]
    for y in ticks(y0, y1):
        out.append('<path d="M%d %.1fH%d" stroke="#e0e0e0"/><text x="%d" y="%.1f" text-anchor="end">%s</text>'
                   % (LEFT, py(y), WIDTH - RIGHT, LEFT - 6, py(y) + 4, format(round(y), ",")))
    for x in sorted({p[0] for p in points}):
        out.append('<path d="M%.1f %dV%d" stroke="#e0e0e0"/><text x="%.1f" y="%d" text-anchor="middle">%d</text>'
                   % (px(x), TOP, HEIGHT - BOTTOM, px(x), HEIGHT - BOTTOM + 18, x))
    label = TOP
    for (name, curve), colour in zip(sorted(curves.items(), key=lambda c: -c[1][-1][1]), COLOURS):
        line = " ".join("%.1f,%.1f" % (px(x), py(y)) for x, y in curve)
        label = max(label + 16, py(curve[-1][1]) + 4)
        out.append('<polyline points="%s" fill="none" stroke="%s" stroke-width="2"/><text x="%d" y="%.1f" fill="%s">%s</text>'
                   % (line, colour, WIDTH - RIGHT + 8, label, colour, html.escape(name)))
    out.append("</svg>\n")
    with open(path, "w") as f:
        f.write("\n".join(out))
