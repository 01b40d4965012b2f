package io.kappalakehouse.flink.live;

/** A window's click-through rate became anomalous, or no longer is. */
public class Alert {

  public static final String OPENED = "opened";
  public static final String WITHDRAWN = "withdrawn";

  public String productId;
  public long windowStart;
  public String state;
  public long impressions;
  public long clicks;

  /** Events of the window at this moment. */
  public long events;

  static Alert of(String productId, long windowStart, WindowCounts counts) {
    Alert alert = new Alert();
    alert.productId = productId;
    alert.windowStart = windowStart;
    alert.state = counts.anomalous ? OPENED : WITHDRAWN;
    alert.impressions = counts.impressions;
    alert.clicks = counts.clicks;
    alert.events = counts.events();
    return alert;
  }
}
