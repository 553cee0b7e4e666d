import { useMemo, useState } from "react";
import { products } from "../catalog";
import { search } from "../search";

export function Shop() {
  const [query, setQuery] = useState("");
  const found = useMemo(() => search(products, query), [query]);
  return (
    <main>
      <h1>Pantry Shop</h1>
      <input value={query} onChange={(event) => setQuery(event.target.value)} placeholder="Search" />
      <ul>
        {found.map((product) => (
          <li key={product.sku}>
            {product.name}: {(product.cents / 100).toFixed(2)} €
          </li>
        ))}
      </ul>
    </main>
  );
}
