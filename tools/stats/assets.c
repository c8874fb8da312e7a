/*
 * assets: tools/stats/page, taken in by the assembler.
 * page/uplot.js and uplot.css are uPlot 1.6.32 as npm has it (MIT, see
 * page/uplot.LICENSE); nothing is loaded from elsewhere.
 */
#include "tools/stats/assets.h"

#include <string.h>

#define FILE_IN(name, file) \
	__asm__(".pushsection .rodata\n" \
		".globl assets_" #name "\n.hidden assets_" #name "\n" \
		".globl assets_" #name "_end\n.hidden assets_" #name "_end\n" \
		"assets_" #name ":\n.incbin \"tools/stats/page/" file "\"\n" \
		"assets_" #name "_end:\n.byte 0\n.popsection\n"); \
	extern const char assets_##name[], assets_##name##_end[]

FILE_IN(index, "index.html");
FILE_IN(page_css, "page.css");
FILE_IN(page_js, "page.js");
FILE_IN(uplot_css, "uplot.css");
FILE_IN(uplot_js, "uplot.js");
FILE_IN(uplot_license, "uplot.LICENSE");

static const char css[] = "text/css", js[] = "text/javascript; charset=utf-8";

static const struct asset assets[] = {
	{ "/", "text/html; charset=utf-8", assets_index, assets_index_end },
	{ "/page.css", css, assets_page_css, assets_page_css_end },
	{ "/page.js", js, assets_page_js, assets_page_js_end },
	{ "/uplot.css", css, assets_uplot_css, assets_uplot_css_end },
	{ "/uplot.js", js, assets_uplot_js, assets_uplot_js_end },
	{ "/uplot.LICENSE", "text/plain; charset=utf-8", assets_uplot_license, assets_uplot_license_end },
};

const struct asset *
assets_find(const char *path)
{
	for (size_t i = 0; i < sizeof(assets) / sizeof(*assets); i++)
		if (strcmp(assets[i].path, path) == 0)
			return &assets[i];
	return NULL;
}
