// page.js: asks /stats.json once a second and draws what changed.  Ten minutes are kept, in the page alone.
"use strict";

const KEEP = 600, WIDTH_S = 60, EVERY_MS = 1000, AWAKE_MS = 5000;
const COLOURS = ["#1f77b4", "#d62728", "#2ca02c", "#ff7f0e", "#9467bd", "#8c564b", "#17becf", "#7f7f7f"];
const charts = [];
let last = null;

const ink = () => getComputedStyle(document.documentElement).getPropertyValue("--ink").trim();

// A chart: TITLE, and LINES(now, before, seconds) that gives {name: value}.  Names that come later become new lines.
function chart(title, lines, format) {
	const box = document.createElement("div");
	document.getElementById("charts").append(box);
	charts.push({ title, lines, format, box, names: [], times: [], values: {}, plot: null });
}

function options(c) {
	const axis = { stroke: ink, grid: { stroke: "#8883", width: 1 } };
	const series = c.names.map((name, i) => ({
		label: name, stroke: COLOURS[i % COLOURS.length], width: 1.5, points: { show: false },
		value: (u, v) => v == null ? "-" : c.format(v),
	}));
	return {
		title: c.title, width: Math.max(300, c.box.clientWidth - 12), height: 220,
		series: [{ label: "time" }, ...series], scales: { x: { range: (u, lo, hi) => [Math.min(lo, hi - WIDTH_S), hi] }, y: { range: (u, lo, hi) => [0, hi > 0 ? hi * 1.1 : 1] } },
		axes: [axis, { ...axis, size: 70, values: (u, vs) => vs.map(c.format) }],
	};
}

function add(c, time, found) {
	c.times.push(time);
	for (const name of Object.keys(found))
		if (!(name in c.values) && c.names.length < COLOURS.length) {
			c.names.push(name);
			c.values[name] = c.times.slice(1).map(() => null);
			c.plot?.destroy();
			c.plot = null;
		}
	for (const name of c.names)
		c.values[name].push(found[name] ?? null);
	for (const list of [c.times, ...c.names.map(n => c.values[n])])
		if (list.length > KEEP)
			list.shift();
	const data = [c.times, ...c.names.map(n => c.values[n])];
	if (c.plot)
		c.plot.setData(data);
	else
		c.plot = new uPlot(options(c), data, c.box);
}

const rate = (now, before, seconds) => Math.max(0, ((now ?? 0) - (before ?? 0)) / seconds);
const perSecond = v => (v < 10 ? v.toFixed(1) : Math.round(v).toLocaleString()) + "/s";
const count = v => (v < 10 ? Math.round(v * 10) / 10 : Math.round(v)).toLocaleString();
const time = s => s >= 1 ? s.toPrecision(3) + " s" : s >= 1e-3 ? (s * 1e3).toPrecision(3) + " ms" : (s * 1e6).toFixed(0) + " us";
const octets = v => { let u = 0; while (v >= 1024 && u < 4) { v /= 1024; u++; } return v.toFixed(u ? 1 : 0) + " " + ["B", "KiB", "MiB", "GiB", "TiB"][u] + "/s"; };

// How many values of a histogram are at or below LE: its buckets are cumulative, and those above the highest value are left out.
function below(h, le) {
	let n = 0;
	for (const b of h?.buckets ?? [])
		if (b.le !== "+Inf" && b.le <= le)
			n = b.count;
	return n;
}

// The quantile of what came between BEFORE and NOW; null when nothing did.
function quantile(now, before, q) {
	const all = now.count - (before?.count ?? 0);
	if (all <= 0)
		return null;
	let from = 0, n = 0;
	for (const b of now.buckets) {
		if (b.le === "+Inf")
			break;
		const to = b.count - below(before, b.le);
		if (to >= q * all)
			return from + (b.le - from) * (to > n ? (q * all - n) / (to - n) : 1);
		from = b.le;
		n = to;
	}
	return from;
}

function latencies(now, before, q) {
	const found = {};
	for (const [name, h] of Object.entries(now))
		if (name.endsWith("_seconds") && name !== "session_seconds" && h.buckets) {
			const v = quantile(h, before[name], q);
			if (v !== null)
				found[name.replace("_seconds", "")] = v;
		}
	return found;
}

// The same of each handler that was asked.
function handlerLatencies(now, before, q) {
	const found = {};
	for (const [name, h] of Object.entries(now.handlers ?? {})) {
		const v = quantile(h.seconds, before.handlers?.[name]?.seconds, q);
		if (v !== null)
			found[name] = v;
	}
	return found;
}

// A histogram in a line: its bounds, and a bar for each bucket between them; buckets double.
function bars(h) {
	const list = [];
	let n = 0;
	for (const b of h.buckets) {
		if (b.le !== "+Inf")
			list.push([b.le, b.count - n]);
		n = b.count;
	}
	const first = list.findIndex(([, c]) => c > 0), most = Math.max(...list.map(([, c]) => c));
	if (first < 0)
		return "";
	const shown = list.slice(first).map(([, c]) => c === 0 ? "\u00a0" : "▁▂▃▄▅▆▇█"[Math.min(7, Math.floor(8 * c / most))]);
	return "≤ " + time(list[first][0]) + " " + shown.join("") + " " + time(list[list.length - 1][0]);
}

function rows(id, head, list) {
	const table = document.getElementById(id);
	table.replaceChildren();
	for (const cells of list.length ? [head, ...list] : []) {
		const tr = table.insertRow();
		for (const text of cells) {
			const cell = document.createElement(cells === head ? "th" : "td");
			cell.textContent = text;
			tr.append(cell);
		}
	}
}

function tables(now, before, seconds) {
	const key = r => r.code + " " + r.enhanced + " " + r.reason;
	const was = Object.fromEntries(before.reasons.map(r => [key(r), r.count]));
	const reasons = now.reasons.map(r => [r.code, r.enhanced, r.reason, count(r.count), rate(r.count, was[key(r)], seconds)]);
	reasons.sort((a, b) => b[4] - a[4] || b[0] - a[0]);
	rows("reasons", ["code", "enhanced", "reason", "count", "rate"], reasons.map(r => [...r.slice(0, 4), perSecond(r[4])]));
	rows("handlers", ["handler", "asked", "rate", "4xx", "5xx", "failed", "half below", "99 in 100 below", "since the start"],
		Object.entries(now.handlers ?? {}).filter(([, h]) => h.asked > 0).map(([name, h]) => {
			const v = [0.5, 0.99].map(q => quantile(h.seconds, null, q));
			return [name, count(h.asked), perSecond(rate(h.asked, before.handlers?.[name]?.asked, seconds)), count(h.deferred),
				count(h.refused), count(h.failed + h.timeouts), ...v.map(t => t === null ? "" : time(t)), bars(h.seconds)];
		}));
	rows("workers", ["slot", "pid", "generation", "sessions", "last beat"],
		now.workers.map(w => [w.slot, w.alive ? w.pid : w.pid + " (gone)", w.generation, w.sessions, w.beat_age + " s ago"]));
	rows("events", ["event", "count", "rate"], Object.entries(now.counters).filter(([, n]) => n > 0)
		.map(([name, n]) => [name.replaceAll("_", " "), count(n), perSecond(rate(n, before.counters[name], seconds))]));
}

function state(text, bad) {
	const p = document.getElementById("state");
	p.textContent = text;
	p.className = bad ? "bad" : "";
}

function say(s) {
	const g = s.gauges, parts = ["version " + s.version, s.workers.filter(w => w.alive).length + " workers",
		"since " + new Date(s.started * 1000).toLocaleString()];
	if (g.directory_made)
		parts.push(count(g.directory_entries) + " directory entries of " + new Date(g.directory_made * 1000).toLocaleString() +
			(g.directory_newest ? "" : ", NOT THE NEWEST"));
	if (g.store_size)
		parts.push("disk " + Math.round(100 * g.store_free / g.store_size) + " % free");
	if (g.certificate_expires)
		parts.push("certificate good for " + g.certificate_days + " days");
	state((s.running ? "running, " : "NOT RUNNING, ") + parts.join(", "), !s.running);
}

async function turn() {
	try {
		const answer = await fetch("stats.json", { cache: "no-store", signal: AbortSignal.timeout(AWAKE_MS) });
		const now = await answer.json();
		if (!answer.ok)
			throw new Error(now.error);
		now.at = performance.now();
		say(now);
		// Another run of the server began to count anew.
		if (last && last.started === now.started) {
			const seconds = (now.at - last.at) / 1000;
			for (const c of charts) {
				const lines = c.lines(now, last, seconds);
				// What there is nothing of at all, as handlers in a config without any, gets no chart.
				if (c.plot || Object.keys(lines).length > 0)
					add(c, Date.now() / 1000, lines);
			}
			tables(now, last, seconds);
			document.body.dataset.points = charts[0].times.length;
		}
		last = now;
	} catch (e) {
		state("no numbers: " + e.message, true);
	}
	setTimeout(turn, EVERY_MS);
}

chart("messages and sessions", (n, b, s) => ({ messages: rate(n.messages, b.messages, s), sessions: rate(n.sessions.total, b.sessions.total, s) }), perSecond);
chart("replies by code", (n, b, s) => Object.fromEntries(Object.keys(n.replies).map(c => [c, rate(n.replies[c], b.replies[c], s)])), perSecond);
chart("octets taken", (n, b, s) => ({ octets: rate(n.octets, b.octets, s) }), octets);
chart("open now", n => ({ sessions: n.sessions.open, "being stored": n.gauges.commits_pending }), count);
chart("latency, half are below", (n, b) => latencies(n, b, 0.5), time);
chart("latency, 99 in 100 are below", (n, b) => latencies(n, b, 0.99), time);
chart("handlers, half answer within", (n, b) => handlerLatencies(n, b, 0.5), time);
chart("handlers, 99 in 100 answer within", (n, b) => handlerLatencies(n, b, 0.99), time);
addEventListener("resize", () => { for (const c of charts) c.plot?.setSize({ width: Math.max(300, c.box.clientWidth - 12), height: 220 }); });
turn();
