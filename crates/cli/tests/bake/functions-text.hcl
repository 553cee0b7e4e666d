target "default" {
  args = {
    lower = lower("ABC"), upper = upper("abc"), title = title("hello wide-world x_y"), trim = trim("--a-b--", "-")
    trimprefix = trimprefix("v1.2", "v"), trimsuffix = trimsuffix("a.tar.gz", ".gz"), trimspace = trimspace("  a b ")
    chomp = chomp("x\n\n"), replace = replace("a.b.c", ".", "-"), split = join("|", split(".", "1.2.3"))
    substr = substr("abcdef", 1, 3), substrend = substr("abcdef", -2, -1), strlen = strlen("abc"), reverse = reverse("abc")
    indent = indent(2, "a\nb"), join = join("-", ["a", "b"], ["c"]), sanitizeish = regex_replace("a.b:c", "[^a-z]", "_")
    swap = regex_replace("k=v", "(\\w+)=(\\w+)", "$2=$1"), named = regex_replace("ab", "(?P<x>a)", "$${x}$${x}")
    number = upper(12), empty = join(",", split(",", ""))
  }
}
