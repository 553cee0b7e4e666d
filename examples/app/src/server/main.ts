import { formatISO } from "date-fns";
import express from "express";
import pino from "pino";
import { z } from "zod";
import { products } from "../catalog";
import { search } from "../search";

const log = pino();
const opened = formatISO(new Date());
const Query = z.object({ q: z.string().max(100).default("") });

const app = express();
app.use(express.static("dist/web"));
app.get("/api/products", (request, response) => {
  response.set("X-Open-Since", opened);
  const query = Query.safeParse(request.query);
  if (!query.success) {
    response.status(400).json({ error: query.error.message });
    return;
  }
  response.json(search(products, query.data.q).map((product) => ({ ...product, text: product.describe() })));
});

if (process.argv.includes("--check")) {
  // What the demo and the benchmarks run in a built image: which products it holds.
  console.log(`${products.length} products, ${products[0].describe()}`);
} else {
  const port = Number(process.env.PORT ?? 8080);
  app.listen(port, () => log.info({ port, products: products.length }, "open"));
}
