"""Events and tables, declared once; the schemas of Spark, Flink, Arrow and Polars derive from them."""
