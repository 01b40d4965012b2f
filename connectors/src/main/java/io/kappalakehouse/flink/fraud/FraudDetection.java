package io.kappalakehouse.flink.fraud;

import java.time.Duration;
import java.time.Instant;
import org.apache.flink.api.common.functions.FlatMapFunction;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.streaming.api.datastream.SingleOutputStreamOperator;
import org.apache.flink.table.api.bridge.java.StreamTableEnvironment;
import org.apache.flink.types.Row;
import org.apache.flink.util.Collector;

/** The fraud rule for Flink SQL, which has no exact form for it: its windows count later ties and their far edge. */
public final class FraudDetection {

  private FraudDetection() {}

  /**
   * Registers the views {@code fraud_decisions}, one for each transaction at the moment it comes, and {@code fraud_alerts}, the
   * decisions that flag or block, once their checkpoint is complete; see {@link FraudOperator}. The columns of both are
   * the fields of {@link Decision}; times are epoch milliseconds.
   *
   * @param transactions a view with the columns {@code partition}, {@code offset}, {@code arrival}, {@code record_hash}
   *     and {@code event}, the last as {@code validate_transactions} returns it, and a watermark
   * @param idleHours TTL of the transactions of a user who stays away
   * @param rememberHours TTL of what tells copies
   */
  public static void register(
      StreamTableEnvironment tables, String transactions, long idleHours, long rememberHours) {
    SingleOutputStreamOperator<Decision> decisions =
        tables
            .toDataStream(tables.from(transactions))
            .flatMap(new ReadTransaction())
            .returns(Types.POJO(Transaction.class))
            .name("valid transactions")
            .keyBy(transaction -> transaction.userId, Types.STRING)
            .transform(
                "decide by user",
                Types.POJO(Decision.class),
                new FraudOperator(Duration.ofHours(idleHours), Duration.ofHours(rememberHours)))
            .uid("fraud");
    tables.createTemporaryView("fraud_decisions", decisions);
    tables.createTemporaryView("fraud_alerts", decisions.getSideOutput(FraudOperator.ALERTS));
  }

  private static final class ReadTransaction implements FlatMapFunction<Row, Transaction> {

    private static final long serialVersionUID = 1L;

    @Override
    public void flatMap(Row record, Collector<Transaction> out) {
      Row payload = record.getFieldAs("event");
      if (payload.getField("reason") != null) {
        return; // Dead letters are the ingester's to keep.
      }
      Transaction transaction = new Transaction();
      transaction.userId = payload.getFieldAs("user_id");
      transaction.eventId = payload.getFieldAs("event_id");
      transaction.eventTime = payload.<Instant>getFieldAs("event_time").toEpochMilli();
      transaction.amountCents = payload.getFieldAs("amount_cents");
      transaction.partition = record.getFieldAs("partition");
      transaction.offset = record.getFieldAs("offset");
      transaction.arrival = record.<Instant>getFieldAs("arrival").toEpochMilli();
      transaction.recordHash = record.getFieldAs("record_hash");
      out.collect(transaction);
    }
  }
}
