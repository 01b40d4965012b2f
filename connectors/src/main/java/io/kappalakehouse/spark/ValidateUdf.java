package io.kappalakehouse.spark;

import io.kappalakehouse.validator.Contract;
import io.kappalakehouse.validator.Field;
import io.kappalakehouse.validator.Validator;
import io.kappalakehouse.validator.Verdict;
import java.time.Instant;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.RowFactory;
import org.apache.spark.sql.api.java.UDF3;

/** One contract's validator for Spark. Times become instants, which Spark turns into its timestamps exactly. */
final class ValidateUdf implements UDF3<byte[], byte[], Number, Row> {

  private final Contract contract;
  private transient Validator validator;

  ValidateUdf(Contract contract) {
    this.contract = contract;
  }

  @Override
  public Row call(byte[] key, byte[] value, Number arrivalMs) {
    if (validator == null) {
      validator = new Validator(contract);
    }
    Verdict verdict = validator.validate(key, value, arrivalMs.longValue());
    if (!verdict.isValid()) {
      return RowFactory.create(verdict.reason().wire(), verdict.field(), null);
    }
    Object[] payload = verdict.values().toArray();
    for (int i = 0; i < payload.length; i++) {
      if (contract.fields().get(i).kind() == Field.Kind.TIME) {
        payload[i] = Instant.ofEpochMilli((Long) payload[i]);
      }
    }
    return RowFactory.create(null, null, RowFactory.create(payload));
  }
}
