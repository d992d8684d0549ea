/* What is the same for both number types; included once for each instruction set. */

#include "energies.h"
#include "logits.h"
#include "odds.h"
