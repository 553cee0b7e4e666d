import sortBy from "lodash-es/sortBy.js";
import type { Product } from "./product";

/** Products whose name holds every word of the query, cheapest first. */
export function search(products: Product[], query: string): Product[] {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const found = products.filter((product) => words.every((word) => product.name.toLowerCase().includes(word)));
  return sortBy(found, "cents");
}
