# SPDX-License-Identifier: Apache-2.0
# docs/kernel_diff.md contains what `kernel_diff --list-masks` prints.
execute_process(COMMAND ${KERNEL_DIFF} --list-masks OUTPUT_VARIABLE printed COMMAND_ERROR_IS_FATAL ANY)
file(READ ${DOCUMENT} document)
string(FIND "${document}" "${printed}" at)
if(at EQUAL -1)
  message(FATAL_ERROR "${DOCUMENT} does not contain:\n${printed}")
endif()
