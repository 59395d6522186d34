/* The page of a corpus build: report.json as one HTML file without scripts. Texts of documents are
 * escaped. SEC_ENOMEM on failure; keys that are missing leave their part out. */
#ifndef SEC_TOOLS_CORPUS_PAGE_H
#define SEC_TOOLS_CORPUS_PAGE_H

#include "base/json.h"

/* name: the corpus, as the user calls it. */
int corpus_page(const cJSON *report, const char *name, struct sec_buf *page);

#endif
