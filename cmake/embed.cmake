# SPDX-License-Identifier: Apache-2.0
# cmake -DFROM=page.html -DTO=page.cc -P embed.cmake: a file as a constant of the program.
file(READ ${FROM} text)
string(FIND "${text}" ")txpath_page\"" ends_it)
if(NOT ends_it EQUAL -1)
  message(FATAL_ERROR "${FROM} holds the mark that ends it")
endif()
file(WRITE ${TO} "#include \"cli/web_server.h\"
namespace txp::cli {
const std::string_view kPage = R\"txpath_page(${text})txpath_page\";
}
")
