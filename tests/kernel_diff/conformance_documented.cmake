# SPDX-License-Identifier: Apache-2.0
# docs/conformance.md is what `kernel_diff --conformance` prints.
execute_process(COMMAND ${KERNEL_DIFF} --conformance ${SCENARIOS} OUTPUT_VARIABLE printed
  COMMAND_ERROR_IS_FATAL ANY)
file(READ ${DOCUMENT} document)
if(NOT document STREQUAL printed)
  message(FATAL_ERROR "${DOCUMENT} is out of date: "
    "build/bin/kernel_diff --conformance tests/scenarios > docs/conformance.md")
endif()
