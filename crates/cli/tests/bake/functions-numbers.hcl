target "default" {
  args = {
    abs = absolute(-2), add = add(1, 2), sub = subtract(1, 2), mul = multiply(2, 3), div = divide(6, 3), mod = modulo(7, 3), neg = negate(2)
    ceil = ceil(1.2), floor = floor(1.8), int = int(2.9), min = min(3, 1, 2), max = max(3, 1, 2), pow = pow(2, 10), signum = signum(-3)
    gt = greaterthan(2, 1), gte = greaterthanorequalto(2, 2), lt = lessthan(2, 1), lte = lessthanorequalto(1, 1)
    and = and(true, false), or = or(true, false), not = not(true), equal = equal("a", "a"), notequal = notequal(1, 2), parse = parseint("ff", 16)
  }
}
