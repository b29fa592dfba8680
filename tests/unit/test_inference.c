/* What is inferred from texts, rule by rule, each with cases that must not trigger it; and the schemas of
 * the shared tables, written down from looking at them. */
#include "data/date.h"
#include "data_help.h"

#include <time.h>

/* "name:kind" of each field, with decimals, marks, format or levels; "!" when ignored, "?" when something
 * was missing. */
static void describe(const lk_schema *schema, char out[2048]) {
    static const char *const kinds[] = {"real", "grid",  "binary", "category",
                                        "text", "image", "date"};
    char *p = out, *end = out + 1800; /* what does not fit is left out */
    *p = 0;
    for (size_t i = 0; i < schema->n_fields && p < end; i++) {
        const lk_field *f = &schema->fields[i];
        p += sprintf(p, "%s%.24s:%s", i ? " " : "", f->name, kinds[f->kind]);
        if (f->kind == LK_FIELD_GRID || f->places) p += sprintf(p, "%d", f->places);
        if (f->decimal) p += sprintf(p, "[decimal %c]", f->decimal);
        if (f->group) p += sprintf(p, "[group %c]", f->group);
        if (f->format) p += sprintf(p, "[%.40s]", f->format);
        if (f->n_levels > 16) p += sprintf(p, "=%zu levels", f->n_levels);
        for (size_t j = 0; f->n_levels <= 16 && j < f->n_levels && p < end; j++)
            p += sprintf(p, "%c%.24s", j ? '|' : '=', f->levels[j]);
        p += sprintf(p, "%s%s", f->ignored ? "!" : "", f->has_missing ? "?" : "");
    }
}

/* `notice`: a part of it; "" where there must be none; NULL where it is not looked at. `again`: what is
 * written is, byte for byte, what was read. */
typedef struct rule {
    const char *text, *schema, *notice;
    bool again;
} rule;

static void write_back(lk_help *h, const rule *c, lk_reader *reader) {
    const lk_schema *schema = lk_reader_schema(reader);
    char path[160];
    lk_writer *writer;
    lk_batch batch;
    snprintf(path, sizeof path, "%s/again.%s", h->folder,
             schema->delimiter == '\t' ? "tsv" : "csv");
    assert_int_equal(lk_writer_open(h->ctx, path, true, schema, &writer), LK_OK);
    assert_int_equal(lk_batch_create(h->ctx, 64, schema->n_cells, &batch), LK_OK);
    assert_int_equal(lk_reader_next(reader, &batch), LK_OK);
    assert_int_equal(lk_writer_add(writer, &batch), LK_OK);
    assert_int_equal(lk_writer_close(writer), LK_OK);
    lk_batch_destroy(h->ctx, &batch);
    size_t n = 0;
    unsigned char *bytes = help_slurp(path, &n);
    assert_non_null(bytes);
    bytes[n] = 0;
    assert_string_equal((char *)bytes, c->text);
    free(bytes);
}

static void check(lk_help *h, const rule *c) {
    lk_reader *reader;
    char schema[2048], *json = NULL;
    lk_schema *back = NULL;
    help_write(h, "t.csv", c->text);
    help_clear(h);
    lk_status status = lk_reader_open(h->ctx, h->path, NULL, &reader);
    if (status != LK_OK) print_error("%s: %s\n", c->text, lk_context_message(h->ctx));
    assert_int_equal(status, LK_OK);
    describe(lk_reader_schema(reader), schema);
    if (strcmp(schema, c->schema)) print_error("%s\n", c->text);
    assert_string_equal(schema, c->schema);
    if (c->notice && *c->notice && !strstr(h->notices, c->notice)) print_error("%s\n", h->notices);
    if (c->notice && *c->notice) assert_non_null(strstr(h->notices, c->notice));
    if (c->notice && !*c->notice) assert_string_equal(h->notices, "");
    /* the schema survives as JSON */
    assert_int_equal(lk_schema_to_json(lk_reader_schema(reader), &json), LK_OK);
    status = lk_schema_from_json(h->ctx, json, &back);
    if (status != LK_OK) print_error("%s: %s\n", json, lk_context_message(h->ctx));
    assert_int_equal(status, LK_OK);
    describe(back, schema);
    assert_string_equal(schema, c->schema);
    lk_schema_destroy(back);
    lk_free(h->ctx, json);
    if (c->again) write_back(h, c, reader);
    lk_reader_close(reader);
}

static void check_all(void **state, const rule *rules, size_t n) {
    for (size_t i = 0; i < n; i++) check(*state, &rules[i]);
}
#define CHECK(rules) check_all(state, rules, sizeof rules / sizeof *(rules))

static void headers(void **state) {
    static const rule rules[] = {
        {"a,b\n1,2\n3,4\n", "a:grid0 b:grid0", "", true},
        {"a,a\n1,2\n3,4\n", "a:grid0 a_2:grid0", "column 2 has the name of another", false},
        {"a,a,a\n1,2,5\n3,4,6\n", "a:grid0 a_2:grid0 a_3:grid0", NULL, false},
        {"a,b,\n1,2,\n3,4,\n", "a:grid0 b:grid0 c3:text!?", NULL, false},
        {"day,x\n2020-01-01,u\n2020-01-02,u\n", "day:date[%Y-%m-%d] x:category=u", NULL, true},
        {"x,y\n\"1,5\",u\n\"2,5\",u\n", "x:grid1[decimal ,] y:category=u", NULL, true},
        /* not: rows that only look like names */
        {"2020-01-01,u\n2020-01-02,u\n", "c1:date[%Y-%m-%d] c2:category=u", NULL, true},
        {"1,5;u\n2,5;v\n3,5;w\n", "c1:grid1[decimal ,] c2:category=u|v|w", "", false},
        {"a,a\nb,c\n", "c1:category=a|b c2:category=a|c", "", false},
        {"NA,1\n3,4\n", "c1:grid0? c2:grid0", NULL, false},
        {"[Sun Dec 04 04:47:44 2005] [notice] workerEnv.init() ok "
         "/etc/httpd/conf/w2.properties\nb\nc\n",
         "c1:category=[Sun Dec 04 04:47:44 200|b|c", "", false},
    };
    CHECK(rules);
}

static void only_names(void **state) {
    lk_help *h = *state;
    static const char *const texts[] = {"a,b\n", "a,b", "a\n",
                                        ("\xef\xbb\xbf"
                                         "a;b\r\n")};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        help_write(h, "t.csv", texts[i]);
        assert_int_equal(help_try(h, h->path, NULL), LK_BAD_DATA);
        assert_non_null(strstr(lk_context_message(h->ctx), "no rows after its header"));
        lk_read_options options = {.header = 0};
        assert_int_equal(help_try(h, h->path, &options), LK_OK);
    }
    /* not: a line with a value in it */
    assert_int_equal(help_try(h, help_write(h, "t.csv", "a,7\n"), NULL), LK_OK);
    assert_int_equal(help_try(h, help_write(h, "t.csv", "a,2020-01-01\n"), NULL), LK_OK);
}

static void quantities_and_codes(void **state) {
    static const rule rules[] = {
        {"a\n12\n-3\n+4\n", "a:grid0", "", false},
        {"a\n9007199254740992\n1\n", "a:grid0", "", true},
        {"id,a\n9007199254740993,1\n9007199254740995,2\n", "id:text a:grid0",
         "field id is text and is not modelled: it has integers beyond 2^53", false},
        {"id,a\n123456789012345678901234567890,1\n5,2\n", "id:text a:grid0", "beyond 2^53", false},
        {"a\n9007199254740993.5\n1.25\n", "a:real", "", false}, /* not: it has decimals */
        {"a\n1e20\n2e20\n", "a:real", "", false},               /* not: it has an exponent */
        {"zip,a\n00501,1\n10001,2\n", "zip:category=00501|10001 a:grid0", "", true},
        {"a\n0\n10\n", "a:grid0", "", true},       /* not: zero itself */
        {"a\n0.5\n-0.25\n", "a:grid2", "", false}, /* not: before the point */
        {"a\n007\n1.5\n", "a:grid1", "", false},   /* not: not all are integers */
        {"a,b\n1e300,1\n2,2\n", "a:text b:grid0", "beyond +-3.4e38 (the first is 1e300)", false},
        {"a,b\n-1e39,1\n2,2\n", "a:text b:grid0", "beyond +-3.4e38", false},
        {"a\n3e38\n2\n", "a:real", "", false}, /* not: within */
        {"a,b\n1e-300,1\n2e-300,2\n3e-300,1\n4e-300,1\n5e-300,1\n6e-300,1\n7e-300,1\n8e-300,1\n9e-"
         "300,1\n",
         "a:text b:grid0", "less than a float32 tells apart", false},
        {"a\n1e-30\n2e-30\n", "a:real", "", false}, /* not: told apart */
        {"a\n1e-300\n1e-300\n", "a:real", "one value only", false},
        {"p,b\n12%,1\n13%,2\n", "p:category=12%|13% b:grid0",
         "field p is taken as category: 2 of its 2 values are numbers with a currency or per cent "
         "sign, "
         "the first \"12%\" in line 2",
         true},
        {"p,b\n$5,1\n\"$1,234.50\",2\n", "p:category=$1,234.50|$5 b:grid0", "currency", true},
        {"p,b\n3 €,1\n€4,2\n", "p:category=3 €|€4 b:grid0", "currency", true},
        {"p\na%\nb%\nb%\n", "p:category=a%|b%", "", false}, /* not: no numbers */
        {"p\n$\n$\n", "p:category=$", NULL, true},
        {"b\nTrue\nFalse\nTrue\n", "b:category=False|True", "", true}, /* a third value may come */
        {"b\nyes\nno\nyes\n", "b:category=no|yes", "", true},
        {"b\n0\n1\n1\n", "b:binary", "", true},
        {"b\n1\n2\n1\n", "b:grid0", "", true},
        {"b\n\"1\"\n\"2.5\"\n", "b:grid1", "", false},
        {"b\n\" 7 \"\n\" 8\"\n", "b:grid0", "", false},
        {"a\r\n1\n2\r3\r\n", "a:grid0", "", false},
    };
    CHECK(rules);
}

static void dates(void **state) {
    static const rule rules[] = {
        {"d\n2020-01-31\n2020-02-29\n", "d:date[%Y-%m-%d]", "", true},
        {"d,x\n2020-02-29,1\n,2\n", "d:date[%Y-%m-%d]? x:grid0", "one value only: d", true},
        {"d\n2020-01-31 23:59:59\n1969-12-31 00:00:00\n", "d:date[%Y-%m-%d %H:%M:%S]", "", true},
        {"d\n2020-01-31T23:59:59Z\n", "d:date[%Y-%m-%dT%H:%M:%SZ]", NULL, true},
        {"d\n2020-01-31T23:59:59.125\n2020-01-31T23:59:59.001\n", "d:date3[%Y-%m-%dT%H:%M:%S.%f]",
         "", true},
        {"d\n2020-01-31 10:30\n2020-01-31 09:05\n", "d:date[%Y-%m-%d %H:%M]", "", true},
        {"d\n2020-01\n2021-12\n", "d:date[%Y-%m]", "", true},
        {"d\n2020/01/31\n2021/12/01\n", "d:date[%Y/%m/%d]", "", true},
        {"d\n20200131\n20211201\n", "d:date[%Y%m%d]", "", true},
        {"d\n13/04/2020\n01/02/2020\n", "d:date[%d/%m/%Y]", "", true},
        {"d\n04/13/2020\n01/02/2020\n", "d:date[%m/%d/%Y]", "", true},
        {"d\n3/14/2020\n11/2/2020\n", "d:date[%-m/%-d/%Y]", "", true},
        {"d\n03/04/2020\n01/02/2020\n", "d:date[%m/%d/%Y]",
         "field d is read as dates %m/%d/%Y, but day and month could as well be exchanged", true},
        {"d\n03-04-2020\n01-02-2020\n", "d:date[%d-%m-%Y]", "exchanged", true},
        {"d\n31.12.1999\n01.02.2020\n", "d:date[%d.%m.%Y]", "", true},
        {"d\n4-Mar-20\n", "d:category=4-Mar-20", NULL, true},
        {"d\n04-Mar-2020\n31-Dec-2020\n", "d:date[%d-%b-%Y]", "", true},
        {"d\tx\n\"Mar 4, 2020\"\t1\n\"Apr 14, 2021\"\t2\n", "d:date[%b %-d, %Y] x:grid0", "",
         false},
        {"d\nSun Dec 04 04:47:44 2005\nMon Dec 05 04:47:44 2005\n", "d:date[%a %b %d %H:%M:%S %Y]",
         "", true},
        {"t\n10:15\n23:59\n", "t:date[%H:%M]", "", true},
        {"t\n10:15:00\n00:00:00\n", "t:date[%H:%M:%S]", "", true},
        {"d\n12/31/1999 11:59:59 PM\n01/01/2000 12:00:00 AM\n", "d:date[%m/%d/%Y %I:%M:%S %p]", "",
         true},
        {"d\n02/13/69\n02/13/68\n", "d:date[%m/%d/%y]", "", true},
        /* not */
        {"d\n2020-01-32\n2020-02-01\n", "d:category=2020-01-32|2020-02-01", "", true},
        {"d\n2019-02-29\n2020-02-01\n", "d:category=2019-02-29|2020-02-01", "", true},
        {"d\n2020-1-31\n2020-02-01\n", "d:category=2020-02-01|2020-1-31", "", true},
        {"d\n2020-01-31\nsoon\n", "d:category=2020-01-31|soon", "", true},
        {"d\n0800-01-31\n0900-01-31\n", "d:category=0800-01-31|0900-01-31", "", true},
        {"d\nMon Dec 04 04:47:44 2005\n", "d:category=Mon Dec 04 04:47:44 2005", NULL, true},
        {"t\n24:00\n10:00\n", "t:category=10:00|24:00", "", true},
        {"t\n1:5\n2:3\n", "t:category=1:5|2:3", "", true},
        {"n\n20200131\n20209999\n", "n:grid0", "", true},
        {"n\n31122020\n20200131\n", "n:grid0", "", true},
        {"d\n2020-01-31T23:59:59.5\n2020-01-31T23:59:59.25\n",
         "d:category=2020-01-31T23:59:59.25|2020-01-31T23:59:59.5", NULL, true},
        {"d\n13/04/2020\n04/13/2020\n", "d:category=04/13/2020|13/04/2020", "", true},
    };
    CHECK(rules);
}

static void marks_in_numbers(void **state) {
    static const rule rules[] = {
        {"a;b\n1,5;2\n-2,25;3\n", "a:grid2[decimal ,] b:grid0", "", false},
        {"a\tb\n1,50\t2\n-2,25\t3\n", "a:grid2[decimal ,] b:grid0", "", false},
        {"1,5;2,5\n3,5;4,5\n", "c1:grid1[decimal ,] c2:grid1[decimal ,]", "", false},
        {"a;b\n1;2\n1,5;3\n", "a:grid1[decimal ,] b:grid0", "", false},
        {"a;b\n0,1234567891;2\n1,5;3\n", "a:real[decimal ,] b:grid0", "", false},
        {"a\n\"1,234.0\"\n\"12,345.5\"\n7.0\n", "a:grid1[group ,]", "", true},
        {"a\n\"1,234,567\"\n999\n", "a:grid0[group ,]", "", true},
        {"a\n\"1.234,5\"\n\"12.345,5\"\n", "a:grid1[decimal ,][group .]", "", true},
        {"a\n1 234\n12 345\n", "a:grid0[group  ]", "", true},
        {"a\n1'234\n-12'345\n", "a:grid0[group ']", "", true},
        {"a\n\"1,234\"\n\"2,345\"\n", "a:grid0[group ,]",
         "the comma is read as a mark between thousands, but it could as well be the decimal mark",
         true},
        {"a;b\n1,234;1\n2,345;2\n", "a:grid3[decimal ,] b:grid0",
         "the comma is read as the decimal mark, but", false},
        {"a;b\n0,234;1\n2,345;2\n", "a:grid3[decimal ,] b:grid0", "", false}, /* no thousands */
        /* not */
        {"a;b\n1,5;1\n2.5;2\n", "a:category=1,5|2.5 b:grid0", "", false},
        {"a;b\n1,5,2;1\n3,4,5;2\n", "a:category=1,5,2|3,4,5 b:grid0", "", false},
        {"a\n\"12,34\"\n\"1,2345.5\"\n", "a:category=1,2345.5|12,34", "", true},
        {"a\nx 234\n1 234\n", "a:category=1 234|x 234", "", true},
        {"a,b;c\nu,v;w\nu,v;x\n", "a:category=u b;c:category=v;w|v;x", NULL,
         false}, /* written in quotes */
    };
    CHECK(rules);
}

/* libc's calendar is the other implementation. */
static void days_are_those_of_the_calendar(void **state) {
    lk_help *h = *state;
    lk_text text = {.ctx = h->ctx};
    for (int64_t day = -200000; day < 200000; day += 7) {
        time_t seconds = (time_t)day * 86400 + 86399;
        struct tm tm;
        char expected[64];
        int64_t value;
        assert_non_null(gmtime_r(&seconds, &tm));
        strftime(expected, sizeof expected, "%A %Y-%m-%d %H:%M:%S", &tm);
        lk_text_clear(&text);
        lk_date_text("%A %Y-%m-%d %H:%M:%S", 0, (int64_t)seconds, &text);
        assert_string_equal(text.bytes, expected);
        assert_true(lk_date_parse("%A %Y-%m-%d %H:%M:%S", 0, expected, strlen(expected), &value));
        assert_true(value == (int64_t)seconds);
    }
    lk_text_free(&text);
}

/* Whatever a model draws has a spelling, and that reads back: years beyond four digits, negative ones. */
static void every_number_is_a_date(void **state) {
    lk_help *h = *state;
    lk_text text = {.ctx = h->ctx};
    static const int64_t values[] = {0,       -1,         1,        -719529,    -719528,    2932896,
                                     2932897, -100000000, 99999999, 1000000000, -5000000000};
    for (int i = 0; i < LK_DATE_FORMATS; i++) {
        const char *format = lk_date_formats[i].format;
        int places = strstr(format, "%f") ? 3 : 0;
        int64_t within = lk_date_values(format, places);
        assert_null(lk_date_check(format, places));
        for (size_t j = 0; j < sizeof values / sizeof *values; j++) {
            int64_t value, v = within ? (values[j] % within + within) % within : values[j];
            lk_text_clear(&text);
            lk_date_text(format, places, v, &text);
            if (!lk_date_parse(format, places, text.bytes, text.n, &value))
                print_error("%s: %s\n", format, text.bytes);
            assert_true(lk_date_parse(format, places, text.bytes, text.n, &value));
            assert_true(value == v);
        }
    }
    assert_string_equal((lk_text_clear(&text), lk_date_text("%Y-%m-%d", 0, 2932897, &text),
                         text.bytes),
                        "+10000-01-01");
    lk_text_free(&text);
}

static void formats_are_checked(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "",      "%Y",    "%d",    "%Y-%d",    "%m-%d", "%Q",        "%Y-%m %H", "%M",
        "%H:%S", "%I:%M", "%H %p", "%Y-%Y-%m", "%",     "%-Y-%m-%d", "%H:%M.%f", "%H:%M:%S.%f"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_non_null(lk_date_check(wrong[i], 0));
    assert_null(lk_date_check("%d%%%m%%%Y", 0));
    assert_null(lk_date_check("%H:%M:%S.%f", 2));
    int64_t value;
    assert_true(lk_date_parse("%d%%%m%%%Y", 0, "02%01%1970", 10, &value) && value == 1);
}

static void many_identifiers(void **state) {
    lk_help *h = *state;
    snprintf(h->path, sizeof h->path, "%s/ids.csv", h->folder);
    FILE *file = fopen(h->path, "w");
    assert_non_null(file);
    fprintf(file, "id,x\n");
    for (int i = 0; i < 300000; i++)
        fprintf(file, "user-%08x,%d\n", (unsigned)i * 2654435761u, i % 7);
    fclose(file);
    size_t held = h->held;
    h->peak = h->held;
    assert_int_equal(help_try(h, h->path, NULL), LK_OK);
    assert_true(h->peak - held < (size_t)2 << 20);
    assert_non_null(
        strstr(h->notices, "field id is text and is not modelled: more than 1024 different "
                           "values in 300000 rows"));
}

static void shared_tables(void **state) {
    lk_help *h = *state;
    static const struct {
        const char *name, *schema;
    } tables[] = {
        {"tables/abalone.data", "c1:category=F|I|M c2:grid3 c3:grid3 c4:grid3 c5:grid4 c6:grid4 "
                                "c7:grid4 c8:grid4 c9:grid0"},
        {"tables/adult.data",
         "c1:grid0 c2:category=Federal-gov|Local-gov|Never-worked|Private|Self-emp-inc|"
         "Self-emp-not-inc|State-gov|Without-pay? c3:grid0 "
         "c4:category=10th|11th|12th|1st-4th|5th-6th|"
         "7th-8th|9th|Assoc-acdm|Assoc-voc|Bachelors|Doctorate|HS-grad|Masters|Preschool|Prof-"
         "school|"
         "Some-college c5:grid0 c6:category=Divorced|Married-AF-spouse|Married-civ-spouse|"
         "Married-spouse-absent|Never-married|Separated|Widowed "
         "c7:category=Adm-clerical|Armed-Forces|"
         "Craft-repair|Exec-managerial|Farming-fishing|Handlers-cleaners|Machine-op-inspct|"
         "Other-service|Priv-house-serv|Prof-specialty|Protective-serv|Sales|Tech-support|"
         "Transport-moving? "
         "c8:category=Husband|Not-in-family|Other-relative|Own-child|Unmarried|Wife "
         "c9:category=Amer-Indian-Eskimo|Asian-Pac-Islander|Black|Other|White "
         "c10:category=Female|Male "
         "c11:grid0 c12:grid0 c13:grid0 c14:category=41 levels? c15:category=<=50K|>50K"},
        {"tables/airquality.csv",
         "rownames:grid0! Ozone:grid0? Solar.R:grid0? Wind:grid1 Temp:grid0 Month:grid0 Day:grid0"},
        {"tables/california.csv",
         "longitude:grid2 latitude:grid2 housing_median_age:grid0 total_rooms:grid0 "
         "total_bedrooms:grid0? population:grid0 households:grid0 median_income:grid4 "
         "median_house_value:grid0 ocean_proximity:category=<1H OCEAN|INLAND|ISLAND|NEAR BAY|NEAR "
         "OCEAN"},
        {"tables/diamonds.csv",
         "carat:grid2 cut:category=Fair|Good|Ideal|Premium|Very Good color:category=D|E|F|G|H|I|J "
         "clarity:category=I1|IF|SI1|SI2|VS1|VS2|VVS1|VVS2 depth:grid1 table:grid1 price:grid0 "
         "x:grid2 y:grid2 z:grid2"},
        {"tables/faithful.csv", "rownames:grid0! eruptions:grid3 waiting:grid0"},
        {"tables/iris.csv",
         "sepal_length:grid1 sepal_width:grid1 petal_length:grid1 petal_width:grid1 "
         "species:category=setosa|versicolor|virginica"},
        {"tables/penguins.csv",
         "species:category=Adelie|Chinstrap|Gentoo island:category=Biscoe|Dream|Torgersen "
         "bill_length_mm:grid1? bill_depth_mm:grid1? flipper_length_mm:grid0? body_mass_g:grid0? "
         "sex:category=FEMALE|MALE?"},
        {"tables/titanic.csv",
         "survived:binary pclass:grid0 sex:category=female|male age:grid2? sibsp:grid0 parch:grid0 "
         "fare:grid4 embarked:category=C|Q|S? class:category=First|Second|Third "
         "who:category=child|man|woman adult_male:category=False|True deck:category=A|B|C|D|E|F|G? "
         "embark_town:category=Cherbourg|Queenstown|Southampton? alive:category=no|yes "
         "alone:category=False|True"},
        {"outliers/42_WBC.npz",
         "c1:grid0 c2:grid0 c3:grid0 c4:grid0 c5:grid0 c6:grid0 c7:grid0 c8:grid0 c9:grid0"},
        {"outliers/45_wine.npz",
         "c1:grid2 c2:grid2 c3:grid2 c4:grid1 c5:grid0 c6:grid2 c7:grid2 "
         "c8:grid2 c9:grid2 c10:real "
         "c11:grid3 c12:grid2 c13:grid0"},
        {"outliers/32_shuttle.npz",
         "c1:grid0 c2:grid0 c3:grid0 c4:grid0 c5:grid0 c6:grid0 c7:grid0 c8:grid0 c9:grid0"},
        {"outliers/38_thyroid.npz", "c1:real c2:real c3:real c4:real c5:real c6:real"},
        {"logs/Apache_2k.log", "c1:text"},
        {"logs/HDFS_2k.log", "c1:text"},
        {"logs/OpenSSH_2k.log", "c1:text"},
    };
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        char path[256], schema[2048];
        lk_reader *reader;
        if (!help_find(path, "LIKELY_DATA", tables[i].name)) continue;
        assert_int_equal(lk_reader_open(h->ctx, path, NULL, &reader), LK_OK);
        describe(lk_reader_schema(reader), schema);
        assert_string_equal(schema, tables[i].schema);
        lk_reader_close(reader);
    }
}

/* A row of empty cells is no header, and names that stand twice are matched as they were called. */
static void names_are_matched(void **state) {
    lk_help *h = *state;
    lk_reader *reader, *other;
    static const struct {
        const char *learned, *scored, *rows;
    } cases[] = {
        {"a,a\n1,2\n3,4\n", "a,a\n5,6\n", "5,6\n"},
        {"a,a,b\n1,2,3\n4,5,6\n", "b,a,a\n9,7,8\n", "7,8,9\n"},
        {"a,,b\n1,2,3\n4,5,6\n", "a,,b\n7,8,9\n", "7,8,9\n"},
        {"1,2,3\n,5,6\n,5,\n", ",,7\n1,2,3\n", "1,-,-,0,7\n0,1,2,0,3\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        help_write(h, "t.csv", cases[i].learned);
        assert_int_equal(lk_reader_open(h->ctx, h->path, NULL, &reader), LK_OK);
        lk_read_options options = {.header = -1, .schema = lk_reader_schema(reader)};
        help_write(h, "u.csv", cases[i].scored);
        assert_int_equal(lk_reader_open(h->ctx, h->path, &options, &other), LK_OK);
        char *rows = help_rows(h, other);
        assert_string_equal(rows, cases[i].rows);
        lk_free(h->ctx, rows);
        lk_reader_close(other);
        lk_reader_close(reader);
    }
}

static const char roles_text[] = "a,w,id,b\n1,2,x1,u\n4,0,x2,v\n3,0.25,x3,u\n5,1,x4,u\n";

static void fields_have_roles(void **state) {
    lk_help *h = *state;
    lk_reader *reader;
    lk_rows *rows, *most, *few;
    lk_batch batch;
    lk_schema *back;
    char *json, plain[65], weighted[65];
    lk_read_options options = {.header = -1, .weights = "w", .ignore = "id,b", .target = "a"};
    help_write(h, "t.csv", roles_text);
    assert_int_equal(lk_reader_open(h->ctx, h->path, &options, &reader), LK_OK);
    const lk_schema *schema = lk_reader_schema(reader);
    assert_int_equal(schema->weights, 1);
    assert_int_equal(schema->target, 0);
    assert_int_equal(schema->n_cells, 1);
    assert_int_equal(lk_rows_read(reader, &rows), LK_OK);
    assert_true(lk_rows_weight(rows) == 3.25);
    assert_int_equal(lk_batch_create(h->ctx, 4, 1, &batch), LK_OK);
    assert_int_equal(lk_rows_get(rows, 3, (uint64_t[]){2, 0, 1}, &batch), LK_OK);
    assert_true(batch.weighted && batch.weight[0] == 0.25 && batch.weight[1] == 2 &&
                batch.weight[2] == 0 && batch.value[0] == 3);
    assert_int_equal(lk_rows_split(rows, 0.5, 1, &most, &few), LK_OK);
    assert_true(lk_rows_weight(most) + lk_rows_weight(few) == 3.25);
    lk_rows_destroy(most);
    lk_rows_destroy(few);
    lk_rows_hash(rows, weighted);
    lk_rows_destroy(rows);
    /* they are in the schema, and go with it */
    assert_int_equal(lk_schema_to_json(schema, &json), LK_OK);
    assert_non_null(strstr(json, "\"weights\": \"w\""));
    assert_non_null(strstr(json, "\"target\": \"a\""));
    assert_int_equal(lk_schema_from_json(h->ctx, json, &back), LK_OK);
    assert_true(back->weights == 1 && back->target == 0 && back->n_cells == 1);
    lk_schema_destroy(back);
    lk_free(h->ctx, json);
    /* other weights are other data; without weights each row counts as one */
    help_write(h, "u.csv", "a,w,id,b\n1,2,x1,u\n4,0,x2,v\n3,0.5,x3,u\n5,1,x4,u\n");
    lk_read_options same = {.header = -1, .schema = schema};
    lk_reader *other;
    assert_int_equal(lk_reader_open(h->ctx, h->path, &same, &other), LK_OK);
    assert_int_equal(lk_rows_read(other, &rows), LK_OK);
    lk_rows_hash(rows, plain);
    assert_string_not_equal(plain, weighted);
    assert_true(lk_rows_weight(rows) == 3.5);
    lk_rows_destroy(rows);
    lk_reader_close(other);
    /* a file without the weights can be read (to be scored) */
    help_write(h, "v.csv", "a,b\n1,u\n4,v\n");
    assert_int_equal(lk_reader_open(h->ctx, h->path, &same, &other), LK_OK);
    assert_int_equal(lk_reader_next(other, &batch), LK_OK);
    assert_true(batch.rows == 2 && batch.weight[0] == 1 && batch.weight[1] == 1);
    lk_reader_close(other);
    lk_batch_destroy(h->ctx, &batch);
    lk_reader_close(reader);
    help_starve(h, h->path, &(lk_read_options){.header = -1, .target = "a", .ignore = "b"});
}

static void a_table_is_to_be_read(void **state) {
    lk_help *h = *state;
    lk_reader *reader;
    char *text;
    lk_read_options options = {.header = -1, .weights = "w"};
    help_write(h, "t.csv",
               "day,price,w,kind,id\n2020-01-02,1.5,1,ä,9007199254740993\n2020-03-02,12.25,2,b,5\n,"
               "3,1,b,6\n");
    assert_int_equal(lk_reader_open(h->ctx, h->path, &options, &reader), LK_OK);
    assert_int_equal(lk_schema_to_table(lk_reader_schema(reader), &text), LK_OK);
    assert_string_equal(
        text,
        "field                     kind                           seen    missing  values\n"
        "day                       date %Y-%m-%d                     2          1  2020-01-02 to "
        "2020-03-02\n"
        "price                     grid 0.01                         3          0  1.50 to 12.25\n"
        "w                         grid 1                            3          0  (weights of the "
        "rows) "
        "1 to 2\n"
        "kind                      category 2                        3          0  b, ä\n"
        "id                        text                              3          0  (not "
        "modelled)\n");
    lk_free(h->ctx, text);
    lk_reader_close(reader);
}

static void wrong_roles_are_told(void **state) {
    lk_help *h = *state;
    static const struct {
        const char *text;
        lk_read_options options;
        const char *message;
    } cases[] = {
        {roles_text, {.header = -1, .weights = "no"}, "no field \"no\" for --weights"},
        {roles_text, {.header = -1, .ignore = "a,no"}, "no field \"no\" for --ignore"},
        {roles_text, {.header = -1, .target = "no"}, "no field \"no\" for --target"},
        {roles_text, {.header = -1, .weights = "b"}, "field b cannot hold the weights"},
        {roles_text, {.header = -1, .target = "w", .weights = "w"}, "field w cannot be the target"},
        {roles_text, {.header = -1, .target = "a", .ignore = "a"}, "field a cannot be the target"},
        {"a,w\n1,2\n2,-1\n", {.header = -1, .weights = "w"}, "field w cannot hold the weights"},
        {"a,w\n1,2\n2,\n",
         {.header = -1, .weights = "w"},
         "line 3, column 2 (w): expected the weight"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        help_write(h, "t.csv", cases[i].text);
        assert_int_equal(help_try(h, h->path, &cases[i].options), LK_BAD_DATA);
        if (!strstr(lk_context_message(h->ctx), cases[i].message))
            print_error("%s\n", lk_context_message(h->ctx));
        assert_non_null(strstr(lk_context_message(h->ctx), cases[i].message));
    }
}

static void memory_may_be_out(void **state) {
    lk_help *h = *state;
    help_write(h, "t.csv",
               "d;x;id\n2020-01-01;1,5;9007199254740993\n2020-01-02;2,5;9007199254740995\n");
    help_starve(h, h->path, NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(headers, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(only_names, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(quantities_and_codes, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(dates, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(marks_in_numbers, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(days_are_those_of_the_calendar, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(every_number_is_a_date, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(formats_are_checked, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(many_identifiers, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(shared_tables, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(names_are_matched, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(fields_have_roles, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(a_table_is_to_be_read, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(wrong_roles_are_told, help_setup, help_teardown),
        cmocka_unit_test_setup_teardown(memory_may_be_out, help_setup, help_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
