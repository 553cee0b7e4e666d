/** One thing that the shop sells. */
export interface Product {
  sku: string;
  name: string;
  cents: number;
  shelf: string;
  describe(): string;
}
