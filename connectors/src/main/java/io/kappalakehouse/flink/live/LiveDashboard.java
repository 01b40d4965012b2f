package io.kappalakehouse.flink.live;

import java.time.Instant;
import org.apache.flink.api.common.functions.FlatMapFunction;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple2;
import org.apache.flink.streaming.api.datastream.DataStream;
import org.apache.flink.streaming.api.datastream.SingleOutputStreamOperator;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;
import org.apache.flink.types.Row;
import org.apache.flink.util.Collector;

/**
 * The part of the live dashboard that SQL cannot do exactly: windows without end, sessions that late events merge, and
 * alerts at each event.
 */
public final class LiveDashboard {

  private static final TypeInformation<LiveEvent> EVENT = Types.POJO(LiveEvent.class);

  private LiveDashboard() {}

  /**
   * Registers the views {@code product_windows}, {@code current_sessions} and {@code ctr_alerts}.
   *
   * <p>Their columns are the fields of {@link ProductWindow}, {@link CurrentSession} and {@link Alert}; times are epoch
   * milliseconds.
   *
   * @param clicks a view with the columns {@code partition}, {@code offset}, {@code record_hash} and {@code event}, the
   *     last as {@code validate_clicks} returns it
   * @param purchases the same of purchases
   */
  public static void register(StreamTableEnvironment tables, String clicks, String purchases) {
    DataStream<LiveEvent> events =
        tables
            .toDataStream(tables.from(clicks))
            .flatMap(new ReadClick())
            .returns(EVENT)
            .name("valid clicks")
            .union(
                tables
                    .toDataStream(tables.from(purchases))
                    .flatMap(new ReadPurchase())
                    .returns(EVENT)
                    .name("valid purchases"));

    SingleOutputStreamOperator<ProductChange> users =
        events
            .keyBy(event -> event.userId, Types.STRING)
            .transform("by user", Types.POJO(ProductChange.class), new UserOperator())
            .uid("users");
    SingleOutputStreamOperator<ProductWindow> windows =
        users
            .keyBy(change -> Tuple2.of(change.productId, change.windowStart), Types.TUPLE(Types.STRING, Types.LONG))
            .transform("by product and window", Types.POJO(ProductWindow.class), new ProductWindowOperator())
            .uid("product-windows");

    tables.createTemporaryView("product_windows", windows);
    tables.createTemporaryView("current_sessions", users.getSideOutput(UserOperator.SESSIONS));
    tables.createTemporaryView("ctr_alerts", windows.getSideOutput(ProductWindowOperator.ALERTS));
  }

  private abstract static class ReadEvent implements FlatMapFunction<Row, LiveEvent> {

    private static final long serialVersionUID = 1L;

    @Override
    public void flatMap(Row record, Collector<LiveEvent> out) {
      Row payload = record.getFieldAs("event");
      if (payload.getField("reason") != null) {
        return; // Dead letters are the ingester's to keep.
      }
      LiveEvent event = new LiveEvent();
      event.userId = payload.getFieldAs("user_id");
      event.eventId = payload.getFieldAs("event_id");
      event.eventTime = payload.<Instant>getFieldAs("event_time").toEpochMilli();
      event.productId = payload.getFieldAs("product_id");
      event.partition = record.getFieldAs("partition");
      event.offset = record.getFieldAs("offset");
      event.recordHash = record.getFieldAs("record_hash");
      read(payload, event);
      out.collect(event);
    }

    abstract void read(Row payload, LiveEvent event);
  }

  private static final class ReadClick extends ReadEvent {

    private static final long serialVersionUID = 1L;

    @Override
    void read(Row payload, LiveEvent event) {
      event.kind = "click".equals(payload.getField("action")) ? LiveEvent.CLICK : LiveEvent.IMPRESSION;
    }
  }

  private static final class ReadPurchase extends ReadEvent {

    private static final long serialVersionUID = 1L;

    @Override
    void read(Row payload, LiveEvent event) {
      event.kind = LiveEvent.PURCHASE;
      event.amountCents = payload.getFieldAs("amount_cents");
    }
  }
}
