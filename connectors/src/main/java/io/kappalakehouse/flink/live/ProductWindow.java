package io.kappalakehouse.flink.live;

/** A product's window, as it goes out. Without events the row no longer exists. */
public class ProductWindow {

  public String productId;
  public long windowStart;
  public long windowEnd;
  public long seq;
  public long impressions;
  public long clicks;
  public long conversions;

  /** Null where the sum doesn't fit. */
  public Long revenueCents;

  public long events;
  public String fingerprint;

  static ProductWindow of(String productId, long windowStart, WindowCounts counts, long since) {
    ProductWindow row = new ProductWindow();
    row.productId = productId;
    row.windowStart = windowStart;
    row.windowEnd = windowStart + WindowCounts.SIZE_MS;
    row.seq = since + counts.seq;
    row.impressions = counts.impressions;
    row.clicks = counts.clicks;
    row.conversions = counts.conversions;
    row.revenueCents = counts.revenue();
    row.events = counts.events();
    row.fingerprint = counts.fingerprint.toString();
    return row;
  }
}
