package io.kappalakehouse.flink;

import static org.junit.jupiter.api.Assertions.assertEquals;

import io.kappalakehouse.validator.ConformanceCase;
import io.kappalakehouse.validator.Contract;
import io.kappalakehouse.validator.Contracts;
import java.io.IOException;
import java.time.Instant;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.apache.flink.types.Row;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;

class ValidateFunctionTest {

  private static final Map<String, ValidateFunction> FUNCTIONS =
      Contracts.all().stream().map(Contract::topic).collect(Collectors.toMap(topic -> topic, ValidateFunction::new));

  @TestFactory
  Stream<DynamicTest> rowIsTheVerdictWrittenByHand() throws IOException {
    FUNCTIONS.values().forEach(function -> function.open(null));
    return ConformanceCase.all().stream()
        .map(each -> DynamicTest.dynamicTest(each.why(), () -> verify(each)));
  }

  private static void verify(ConformanceCase expected) {
    Row row =
        FUNCTIONS
            .get(expected.topic())
            .eval(expected.key(), expected.value(), Instant.ofEpochMilli(expected.arrivalMs()));
    assertEquals(expected.reason(), row.getField(0));
    assertEquals(expected.field(), row.getField(1));
    for (int i = 2; i < row.getArity(); i++) {
      Object found = row.getField(i) instanceof Instant time ? (Object) time.toEpochMilli() : row.getField(i);
      assertEquals(expected.values() == null ? null : expected.values().get(i - 2), found);
    }
  }
}
