/* What the parts of a report share. */
#ifndef LK_TASK_REPORT_H
#define LK_TASK_REPORT_H

#include "task/page.h"
#include "task/task.h"

typedef struct lk_report_job {
    lk_model *model;
    lk_data *data; /* NULL: none */
    const lk_report_options *options;
    bool draws; /* samples can be had: what the model is conditional on is given */
    lk_text out;
} lk_report_job;

/* Sections: marginals of fields, and pictures; texts; sounds. */
lk_status lk_report_table(lk_report_job *job);
lk_status lk_report_series(lk_report_job *job);
/* What lk_sample is asked for n samples. */
lk_sample_options lk_report_samples(const lk_report_job *job, size_t n);

#endif
