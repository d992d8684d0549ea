/* What latticear/kernels/library.py compares with the mirrors in structures.py before it calls anything else. */

#include <stdint.h>
#include <string.h>

#include "patches.h"
#include "program.h"
#include "rows.h"

int64_t latticear_interface(void) { return INTERFACE; }

#define SIZE_OF(structure) {#structure, sizeof(structure)}
static const struct {
    const char *name;
    int64_t size;
} structures[] = {SIZE_OF(Node),  SIZE_OF(Step),  SIZE_OF(Program), SIZE_OF(Block),
                  SIZE_OF(Bond), SIZE_OF(Phase), SIZE_OF(Order), SIZE_OF(Batch), SIZE_OF(Couplings),
                  SIZE_OF(Column), SIZE_OF(Row),   SIZE_OF(Choice)};

/* Bytes of a structure of these headers, by its name; 0 for any other. */
int64_t latticear_size_of(const char *name) {
    for (size_t k = 0; k < sizeof structures / sizeof *structures; k++)
        if (strcmp(structures[k].name, name) == 0) return structures[k].size;
    return 0;
}
