/* What the tasks share: data as the public API sees them, and a place to run traces in. */
#ifndef LK_TASK_TASK_H
#define LK_TASK_TASK_H

#include "data/data.h"
#include "family/model.h"

struct lk_data {
    lk_context *ctx;
    char *path;
    lk_reader *reader; /* a file, read in order; or */
    lk_rows *rows;     /* rows that were split off */
    uint64_t next;     /* of rows */
    lk_schema *schema; /* read from a file by the caller's wish; else NULL */
};

const lk_schema *lk_data_fields(const lk_data *data);
lk_status lk_data_rewind(lk_data *data);
lk_status lk_data_next(lk_data *data, lk_batch *batch); /* 0 rows at the end */
/* All rows in any order. *owned (may be NULL) is for lk_rows_destroy. */
lk_status lk_data_all(lk_data *data, const lk_rows **rows, lk_rows **owned);

/* Rows of a trace for a model: fewer where rows are wide, so that memory is bounded; results never
 * depend on it. `lanes`: how many each row becomes. */
size_t lk_task_rows(const lk_model *model, size_t lanes);
/* LK_BAD_DATA when the data's cells are not the model's. */
lk_status lk_task_fits(const lk_model *model, const lk_data *data);
const char *lk_kind_name(lk_kind_of kind);
/* Values of a row that are data: all cells but those that say what is missing. */
size_t lk_schema_dims(const lk_schema *schema);

#endif
